import { describe, expect, it } from 'vitest';

import { PoolShare, shareOf } from '../../../../src/daemon/engine/pool-share.ts';

describe("a disk's share of the thread pool", () => {
  it.each([
    [undefined, 3],
    ['16', 15],
    ['1', 1],
    ['many', 3],
  ])('with UV_THREADPOOL_SIZE %s is %i threads: one is left for the rest', (size, share) => {
    expect(shareOf(size)).toBe(share);
  });

  it('is never exceeded, and who waits starts in order when one leaves', () => {
    const pool = new PoolShare(2);
    const started: number[] = [];
    const leave: (() => void)[] = [];
    for (const each of [1, 2, 3, 4])
      pool.enter((done) => {
        started.push(each);
        leave.push(done);
      });
    expect(started).toEqual([1, 2]);
    leave[1]?.();
    leave[0]?.();
    expect(started).toEqual([1, 2, 3, 4]);
  });
});
