import { expect, it } from 'vitest';
import { LatencyGauge } from '../../../../src/daemon/engine/latency-gauge.ts';

const after = (us: number, bytes: number): boolean => {
  const gauge = new LatencyGauge();
  for (let i = 0; i < 50; i++) gauge.sample(us, bytes);
  return gauge.isFast();
};

it('waits for a disk that answers from memory, however large the request', () => {
  expect(after(5, 4096)).toBe(true);
  expect(after(60, 131_072)).toBe(true);
});

it('does not wait for a disk that has to look', () => {
  expect(after(80, 4096)).toBe(false);
  expect(after(120, 131_072)).toBe(false);
});

it('does not give a disk up for one slow answer', () => {
  const gauge = new LatencyGauge();
  for (let i = 0; i < 50; i++) gauge.sample(5, 4096);
  gauge.sample(100_000, 4096);
  expect(gauge.isFast()).toBe(true);
});

it('measures every request of a disk that was slow, and not each of one that was as quick as memory', () => {
  const gauge = new LatencyGauge();
  const measured = (): boolean[] => [1, 2, 3, 4, 5].map(() => gauge.begin() >= 0);
  gauge.sample(5, 4096);
  expect(measured()).toEqual([false, false, false, true, true]);
  gauge.sample(30, 4096);
  expect(measured()).toEqual([true, true, true, true, true]);
});

it('tries a slow disk again at once after an answer that was quick', () => {
  const gauge = new LatencyGauge();
  for (let i = 0; i < 50; i++) gauge.sample(500, 4096);
  expect(gauge.isFast()).toBe(false);
  let tries = 0;
  do {
    gauge.sample(5, 4096);
    tries++;
  } while (gauge.isFast() && tries < 50);
  expect(tries).toBe(50);
});
