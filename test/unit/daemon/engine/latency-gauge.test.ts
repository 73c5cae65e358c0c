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
