import { describe, expect, it } from 'vitest';

import { drainTurns } from '../../../src/net/drain.ts';
import { watchLoopStalls } from '../../../src/net/loop-stall.ts';
import { createTokenBucket } from '../../../src/net/token-bucket.ts';

/** A socket that delivers one datagram per turn of the event loop, as raw-socket does. */
function slowSocket(waiting: number): () => number {
  let received = 0;
  const turn = (): void => {
    if (received >= waiting) return;
    received += 1;
    setImmediate(turn);
  };
  setImmediate(turn);
  return () => received;
}

describe('draining a socket', () => {
  it('reads one datagram per turn until none is left', async () => {
    expect(await drainTurns(slowSocket(40))).toEqual({ datagrams: 40 });
  });

  it('ends at once when nothing waits', async () => {
    expect(await drainTurns(slowSocket(0))).toEqual({ datagrams: 0 });
  });

  it('is bounded in turns under a flood', async () => {
    const { datagrams } = await drainTurns(slowSocket(1_000_000), 64, 60_000);
    expect(datagrams).toBeLessThanOrEqual(65);
    expect(datagrams).toBeGreaterThan(50);
  });

  it('is bounded in time under a flood', async () => {
    const before = performance.now();
    await drainTurns(slowSocket(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER, 20);
    expect(performance.now() - before).toBeLessThan(1000);
  });
});

describe('a token bucket', () => {
  it('lets a burst through and then the rate', () => {
    const bucket = createTokenBucket({ perSecond: 10, burst: 3 });
    const taken = [0, 0, 0, 0, 50, 100, 150, 199, 200].map((at) => bucket.take(at));
    expect(taken).toEqual([true, true, true, false, false, true, false, false, true]);
  });

  it('gains nothing from a clock that goes back', () => {
    const bucket = createTokenBucket({ perSecond: 10, burst: 1 });
    expect([1000, 0, 1000, 1099].map((at) => bucket.take(at))).toEqual([true, false, false, false]);
  });
});

describe('the stall watch', () => {
  it('reports how long the event loop stood still', async () => {
    const stall = await new Promise<number>((resolve) => {
      const stop = watchLoopStalls({
        everyMs: 5,
        now: () => performance.now(),
        onStall: (ms) => {
          stop();
          resolve(ms);
        },
      });
      setImmediate(() => {
        const until = performance.now() + 200;
        while (performance.now() < until);
      });
      // The watch alone keeps no process alive.
      setTimeout(() => undefined, 1000);
    });
    expect(stall).toBeGreaterThan(150);
  });
});
