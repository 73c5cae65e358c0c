import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RangeLock } from '../../../src/replication/rangelock.ts';
import type { RangeHold } from '../../../src/replication/rangelock.ts';

test('overlapping ranges go one after the other in the order of asking; others at once', () => {
  const lock = new RangeLock();
  const went: string[] = [];
  const a = lock.acquire(0, 10, true, () => went.push('a'));
  const b = lock.acquire(5, 10, true, () => went.push('b'));
  lock.acquire(20, 5, true, () => went.push('c'));
  const d = lock.acquire(12, 2, true, () => went.push('d'));
  expect(went).toEqual(['a', 'c']);
  lock.release(a);
  expect(went).toEqual(['a', 'c', 'b']);
  lock.release(b);
  lock.release(b);
  expect(went).toEqual(['a', 'c', 'b', 'd']);
  lock.release(d);
  expect(lock.size).toBe(1);
});

test('reads share a range with each other and with no write', () => {
  const lock = new RangeLock();
  const went: string[] = [];
  const first = lock.acquire(0, 10, false, () => went.push('r1'));
  const second = lock.acquire(0, 10, false, () => went.push('r2'));
  lock.acquire(0, 10, true, () => went.push('w'));
  expect(went).toEqual(['r1', 'r2']);
  lock.release(first);
  lock.release(second);
  expect(went).toEqual(['r1', 'r2', 'w']);
});

test('two overlapping writes never run at once, and everybody gets a turn', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ start: fc.nat(30), length: fc.integer({ min: 1, max: 10 }) }), { maxLength: 30 }),
      fc.infiniteStream(fc.nat()),
      // Within one cell of the table, over several, over so many that all are compared.
      fc.constantFrom(1, 300_000, 3_000_000),
      (relative, dice, scale) => {
        const asks = relative.map(({ start, length }) => ({ start: start * scale, length: length * scale }));
        const lock = new RangeLock();
        const running = new Set<number>();
        const holds: RangeHold[] = [];
        let turns = 0;
        asks.forEach(({ start, length }, i) => {
          holds.push(
            lock.acquire(start, length, true, () => {
              for (const other of running) {
                const their = asks[other];
                const apart =
                  their === undefined || their.start >= start + length || start >= their.start + their.length;
                expect(apart).toBe(true);
              }
              running.add(i);
              turns++;
            }),
          );
        });
        while (running.size > 0) {
          const all = [...running];
          const pick = all[Number(dice.next().value) % all.length] ?? 0;
          running.delete(pick);
          const hold = holds[pick];
          if (hold !== undefined) lock.release(hold);
        }
        expect(turns).toBe(asks.length);
      },
    ),
  );
});
