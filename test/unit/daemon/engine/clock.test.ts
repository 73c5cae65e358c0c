import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, vi } from 'vitest';
import { bootClock, bootTimeFromUptime } from '../../../../src/daemon/engine/clock.ts';
import { needs } from '../../../support/needs.ts';

describe('boot clock', () => {
  it('never goes back and runs as fast as the monotonic clock', async () => {
    const clock = bootClock();
    const started = clock.now();
    const mark = performance.now();
    await new Promise<void>((resolve) => clock.after(30, resolve));
    const ours = clock.now() - started;
    expect(Math.abs(ours - (performance.now() - mark))).toBeLessThan(12);
    let last = clock.now();
    for (let i = 0; i < 10_000; i++) {
      const now = clock.now();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });

  it('never calls back early', async () => {
    const clock = bootClock();
    for (const ms of [0, 0.3, 1, 2.5, 7]) {
      const due = clock.now() + ms;
      await new Promise<void>((resolve) => clock.after(ms, resolve));
      expect(clock.now()).toBeGreaterThanOrEqual(due);
    }
  });

  it('does not call back when it was cancelled', async () => {
    const clock = bootClock();
    let called = false;
    clock.after(1, () => (called = true))();
    await new Promise<void>((resolve) => clock.after(10, resolve));
    expect(called).toBe(false);
  });

  it.each([true, false])('keeps its thread from ending by a timer that is set: %s', (holdsThread) => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const cancel = bootClock({ holdsThread }).after(60_000, () => undefined);
    const [timer] = timers.mock.results.map(({ value }) => value as NodeJS.Timeout);
    expect(timer?.hasRef()).toBe(holdsThread);
    cancel();
    timers.mockRestore();
  });
});

describe.skipIf(needs('koffi') || process.platform !== 'linux')('boot clock on Linux', () => {
  it('is the same in another thread', async () => {
    const source = `
      const { parentPort } = require('node:worker_threads');
      const libc = require('koffi').load(null);
      const time = new BigInt64Array(2);
      libc.func('int clock_gettime(int, void *)')(7, time);
      parentPort.postMessage(Number(time[0] * 1000000000n + time[1]) / 1e6);`;
    const before = bootClock().now();
    const worker = new Worker(source, { eval: true });
    const [there] = (await once(worker, 'message')) as [number];
    expect(there).toBeGreaterThan(before);
    expect(there).toBeLessThan(bootClock().now());
  });
});

describe('boot time without the C library', () => {
  it('adds what the machine slept, once it has woken up', () => {
    let running = 1000;
    let slept = 0;
    const now = bootTimeFromUptime(
      () => Math.floor((running + slept) / 10) * 10,
      () => running,
    );
    expect(now()).toBe(1000);
    running = 1020;
    expect(now()).toBe(1020);
    slept = 60_000;
    running = 1025;
    expect(now()).toBeGreaterThan(61_010);
    expect(now()).toBeLessThanOrEqual(61_025);
    running = 1026;
    expect(now()).toBeGreaterThan(61_011);
  });
});
