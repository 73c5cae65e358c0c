import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StallWatch } from '../../../src/keeper/stall-watch.ts';

describe('the stall watch', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
  afterEach(() => vi.useRealTimers());

  function watch() {
    const onStall = vi.fn();
    return { onStall, watch: new StallWatch(800, onStall) };
  }

  it('tells a stall once, after the whole time without a beat', () => {
    const { onStall } = watch();
    vi.advanceTimersByTime(799);
    expect(onStall).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onStall).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(10_000);
    expect(onStall).toHaveBeenCalledOnce();
  });

  it('starts again with every beat', () => {
    const { onStall, watch: subject } = watch();
    for (let beat = 0; beat < 20; beat += 1) {
      vi.advanceTimersByTime(700);
      subject.beat();
    }
    expect(onStall).not.toHaveBeenCalled();
    vi.advanceTimersByTime(900);
    expect(onStall).toHaveBeenCalledOnce();
    subject.beat();
    vi.advanceTimersByTime(900);
    expect(onStall).toHaveBeenCalledTimes(2);
  });

  it('that was itself stopped waits anew instead of blaming the daemon', () => {
    const { onStall } = watch();
    // The clock went on while no timer ran: what a stopped process sees when it goes on.
    vi.setSystemTime(Date.now());
    const real = performance.now();
    const now = vi.spyOn(performance, 'now').mockImplementation(() => real + 60_000);
    vi.advanceTimersByTime(100);
    expect(onStall).not.toHaveBeenCalled();
    now.mockImplementation(() => real + 60_700);
    vi.advanceTimersByTime(100);
    expect(onStall).not.toHaveBeenCalled();
  });

  it('says nothing after it was stopped', () => {
    const { onStall, watch: subject } = watch();
    subject.stop();
    vi.advanceTimersByTime(10_000);
    expect(onStall).not.toHaveBeenCalled();
  });
});
