import { expect, it } from 'vitest';

import { noteStruggles, resetReason, type Struggles } from '../../../src/model/watchdog.ts';

const at = (state: string, role: 'primary' | 'secondary' | 'changing' | 'stuck') => [
  { name: 'storage', role, state },
];

it('a group that cannot go down is a reason after its time, also when it is stuck and tries again', () => {
  let struggles: Struggles = {};
  struggles = noteStruggles(struggles, at('demoting.stoppingHooks', 'changing'), 0);
  struggles = noteStruggles(struggles, at('stuck', 'stuck'), 4000);
  struggles = noteStruggles(struggles, at('demoting.stoppingHooks', 'changing'), 8000);
  expect(resetReason(struggles, 9000, 8000)).toBeNull();
  expect(resetReason(struggles, 8000, 8000)).toBe('group storage cannot go down for 8 s');
  expect(resetReason(struggles, null, 99_999)).toBeNull();
});

it('a group that got down, or is on its way up, starts anew', () => {
  let struggles: Struggles = noteStruggles({}, at('demoting.detaching', 'changing'), 0);
  struggles = noteStruggles(struggles, at('standby.waiting', 'secondary'), 5000);
  expect(struggles).toEqual({});
  expect(noteStruggles(struggles, at('promoting.startingHooks', 'changing'), 6000)).toEqual({});
});

it.each(['demoting.handingOver', 'demoting.takingBack'])(
  '%s has let go: only the other node is slow',
  (state) => {
    expect(noteStruggles({}, at(state, 'changing'), 0)).toEqual({});
  },
);
