/**
 * A primary whose own copy lacks something, and a link that ends while it is found out whose copy counts: what was
 * acknowledged is on the side that counts. @see SAFETY A2, A3, A6
 */
import { describe, expect, test } from 'vitest';
import { NO_ID } from '../../src/model/record.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import {
  at,
  block,
  BLOCK,
  breakBlocks,
  joined,
  mended,
  MODES,
  stale,
  watch,
  when,
} from '../support/stale-pair.ts';
import type { Watched } from '../support/stale-pair.ts';

const SEEDS = [1, 2, 3, 4];

/** When the peer flushes next, it fails a write right after it: its answer and the end of the link come together. */
function endsWithAnswer({ alpha, beta }: SimPair): void {
  breakBlocks(beta, at(9));
  beta.disk.latencyMs = 2;
  when(beta, 'flush', () => void alpha.submit(at(9), block(9)));
}

/** The next flush of the local disk fails, and its cache is lost with it: these extents are as they were. */
function loseInFlush({ alpha }: SimPair, ...extents: readonly number[]): void {
  alpha.disk.faults.flush = () => {
    alpha.disk.faults = {};
    for (const extent of extents) {
      const from = alpha.dataOffset + at(extent);
      alpha.disk.durable.copy(alpha.disk.content, from, from, from + BLOCK);
    }
    return 'EIO';
  };
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
    pair.beta.disk.faults = {};
    await mended(pair);
    expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  });
});

describe.each(MODES)('%s: what both took while a local flush ran that then failed', (replication) => {
  /** @param next what becomes of the link when the peer is to flush after the one that failed here */
  async function during(seed: number, next: (pair: SimPair) => void): Promise<[SimPair, Watched]> {
    const pair = await joined({ replication }, seed);
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(at(7), block(1))).toBeNull();
    await clock.run(4000);
    alpha.disk.latencyMs = 2;
    let write: Watched = { answer: undefined };
    when(alpha, 'flush', () => (write = watch(alpha.submit(at(7), block(2)))));
    loseInFlush(pair, 7);
    when(beta, 'flush', () => when(beta, 'flush', () => next(pair)));
    alpha.device?.flush(() => undefined);
    await clock.run(60);
    alpha.disk.latencyMs = 0.3;
    return [pair, write];
  }

  test.each(SEEDS)('is the peer’s when the link is cut before its next flush, seed %i', async (seed) => {
    const [pair, write] = await during(seed, ({ net }) => net.resetAll());
    expect(write.answer).toBeNull();
    await mended(pair);
    expect(await pair.alpha.read(at(7), BLOCK)).toEqual(block(2));
  });
});

describe.each(MODES)('%s: a local flush that fails beside a link that is cut', (replication) => {
  test.each([
    ['in the same flush', (pair: SimPair) => when(pair.beta, 'flush', () => pair.net.resetAll())],
    ['just before it', (pair: SimPair) => pair.net.resetAll()],
  ])('%s is EIO, and the peer’s copy of what it took counts', async (_when, cut) => {
    const pair = await joined({ replication });
    const { alpha, clock } = pair;
    expect(await alpha.write(at(7), block(1))).toBeNull();
    await clock.run(4000);
    expect(await alpha.write(at(7), block(2))).toBeNull();
    // Answered by the peer in every mode.
    await clock.run(20);
    loseInFlush(pair, 7);
    cut(pair);
    const flush = (): Promise<string | null> => new Promise((resolve) => alpha.device?.flush(resolve));
    const flushed = watch(flush());
    await clock.run(20);
    expect(flushed.answer).toBe('EIO');
    await mended(pair);
    expect(await alpha.read(at(7), BLOCK)).toEqual(block(2));
    const again = watch(flush());
    await clock.run(50);
    expect(again.answer).toBeNull();
  });
});

describe.each(MODES)('%s: a peer that fails once while only it has everything', (replication) => {
  test.each(['write', 'flush'] as const)(
    'at a %s leaves each extent to the side that has it',
    async (kind) => {
      const pair = await stale({ replication });
      const { alpha, beta, clock } = pair;
      expect(await alpha.write(at(3, 1), block(3))).toBeNull();
      beta.disk.faults[kind] = () => {
        beta.disk.faults = {};
        return 'EIO';
      };
      const write = watch(alpha.submit(at(9), block(9)));
      await clock.run(100);
      expect([write.answer !== null, (await beta.snapshot()).record.state]).toEqual([true, 'inconsistent']);
      // Before the local disk takes anything again.
      const copied = await clock.run(10_000, () => alpha.seen?.record.inSync.length === 0);
      expect(copied).toBe(true);
      await mended(pair);
      expect((await alpha.snapshot()).record).toMatchObject({ state: 'clean', inSync: ['alpha', 'beta'] });
      expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
      expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(3));
    },
  );
});

describe.each(MODES)('%s: writes that end after the link came back', (replication) => {
  test.each([1, 2, 3, 4, 5, 6])('do not make a disk count that lacks something, seed %i', async (seed) => {
    const pair = await stale({ replication }, seed);
    const { alpha, beta, clock, net } = pair;
    alpha.disk.latencyMs = 4;
    let next = 0;
    let alone = false;
    const load = (): void => {
      if (next > 400) return;
      void alpha.submit(at(8 + (next++ % 50), 1), block(9));
      clock.after(2.5, load);
    };
    net.resetAll();
    load();
    await clock.run(1500, () => (alone = alpha.seen?.record.inSync.includes('alpha') === true));
    expect([alone, (await beta.snapshot()).record.state]).toEqual([false, 'clean']);
    alpha.disk.latencyMs = 0.3;
    await mended(pair);
    expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  });
});

describe('a peer whose disk was made anew, while only the old one had something,', () => {
  test('is refused each time, which both nodes tell, and is copied to once that was given up by force', async () => {
    const pair = await stale();
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(at(4), block(4))).toBeNull();
    beta.crash('power');
    beta.disk.content.fill(0);
    beta.disk.durable.fill(0);
    beta.create();
    alpha.disk.faults = {};
    await beta.start();
    await beta.run({ type: 'become-secondary' });
    await clock.run(60_000);
    const ours = await alpha.snapshot();
    expect(ours.record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
    expect(ours.peerProblem).toContain('the disk of the peer is new');
    expect((await beta.snapshot()).peerProblem).toContain('the disk of the peer is new');
    await expect(alpha.read(at(3), BLOCK)).rejects.toThrow('EIO');

    alpha.crash('process');
    await alpha.start();
    const epoch = pair.nextEpoch();
    await alpha.run({ type: 'prepare-primary', epoch, inSync: ['alpha'], forced: true });
    await alpha.run({ type: 'become-primary', epoch });
    await mended(pair);
    expect(beta.data.subarray(at(4), at(4) + BLOCK)).toEqual(block(4));
  });
});

test('two new disks: what only the peer took before it was told that it has everything is copied back from it', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const pair = new SimPair(seed);
    const { alpha, beta, clock, net } = pair;
    for (const node of [alpha, beta]) await node.start();
    await beta.run({ type: 'become-secondary' });
    await pair.promote(alpha, ['alpha']);
    beta.sidecarMs = 30;
    await clock.run(8000, () => alpha.seen?.dataLinkUp === true);
    breakBlocks(alpha, at(3));
    const write = watch(alpha.submit(at(3), block(2)));
    await clock.run(8 + seed);
    expect(beta.seen?.record.generations.current).toBe(NO_ID);
    net.resetAll();
    await clock.run(30);
    beta.sidecarMs = 0;
    expect(write.answer).toBeNull();
    await mended(pair);
    expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  }
});
