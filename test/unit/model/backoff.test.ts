import { describe, expect, it } from 'vitest';

import { Backoff } from '../../../src/model/backoff.ts';

const make = (): Backoff => new Backoff({ firstMs: 100, mostMs: 1000, steadyMs: 5000, tellFromMs: 400 });

describe('the wait before the next attempt', () => {
  it('doubles up to its bound, and is worth one line', () => {
    const backoff = make();
    const waits = [0, 1, 2, 3, 4, 5].map((now) => backoff.failed(now));
    expect(waits).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(waits.map((wait) => backoff.isNews(wait))).toEqual([false, false, true, false, false, false]);
  });

  it('grows on when what began ends at once, and starts anew when it lasted', () => {
    const backoff = make();
    backoff.failed(0);
    backoff.began(10);
    expect(backoff.failed(20)).toBe(200);
    backoff.began(100);
    expect(backoff.failed(5099)).toBe(400);
    backoff.began(6000);
    expect(backoff.failed(11_000)).toBe(100);
  });

  it('starts anew, with its line, after a success', () => {
    const backoff = make();
    for (let turn = 0; turn < 5; turn++) backoff.isNews(backoff.failed(0));
    backoff.reset();
    expect([100, 200, 400].map(() => backoff.isNews(backoff.failed(0)))).toEqual([false, false, true]);
  });
});
