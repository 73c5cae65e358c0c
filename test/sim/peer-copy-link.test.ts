/**
 * A primary whose own copy lacks something, and a link that ends while it is found out whose copy counts: what was
 * acknowledged is on the side that counts. @see SAFETY A2, A3, A6
 */
import { describe, expect, test } from 'vitest';
import type { SimPair } from '../../src/simulate/sim-node.ts';
import { at, block, breakBlocks, joined, MODES, watch, when } from '../support/stale-pair.ts';

const SEEDS = [1, 2, 3, 4];

/** When the peer flushes next, it fails a write right after it: its answer and the end of the link come together. */
function endsWithAnswer({ alpha, beta }: SimPair): void {
  breakBlocks(beta, at(9));
  beta.disk.latencyMs = 2;
  when(beta, 'flush', () => void alpha.submit(at(9), block(9)));
}

describe.each(MODES)('%s: a link that ends with the answer to the flush', (replication) => {
  test.each(SEEDS)('leaves the peer’s copy of what this disk failed to write, seed %i', async (seed) => {
    const pair = await joined({ replication }, seed);
    const { alpha, clock } = pair;
    expect(await alpha.write(at(3), block(1))).toBeNull();
    await clock.run(3000);
    breakBlocks(alpha, at(3));
    endsWithAnswer(pair);
    const write = watch(alpha.submit(at(3), block(2)));
    await clock.run(50);
    expect([write.answer, (await alpha.snapshot()).record.inSync]).toEqual([null, ['beta']]);
  });
});
