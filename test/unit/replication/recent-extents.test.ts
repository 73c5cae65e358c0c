import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RecentExtents } from '../../../src/replication/recent-extents.ts';

test('gives back what was written longest ago, each extent once, as a list would', () => {
  const step = fc.oneof(fc.nat(9), fc.constant('take' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const recent = new RecentExtents(10);
      let list: number[] = [];
      for (const each of steps) {
        if (each === 'take') expect(recent.takeOldest()).toBe(list.shift() ?? -1);
        else {
          recent.touch(each);
          list = [...list.filter((e) => e !== each), each];
        }
        expect(recent.size).toBe(list.length);
      }
    }),
  );
});
