/**
 * When it is recorded that a primary's own copy lacks something, its peer has everything durably; until then, and once
 * it is mended, our copy counts. @see SAFETY A2, A3, B2
 */
import { describe, expect, test } from 'vitest';
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

describe.each(MODES)('%s: a local write error', (replication) => {
  test.each([7, 3])(
    'whose peer loses its power before it has flushed takes nothing that both had: our copy of extent %i counts',
    async (extent) => {
      const pair = await joined({ replication });
      const { alpha, beta, clock } = pair;
      expect(await alpha.write(at(extent, 1), block(7))).toBeNull();
      breakBlocks(alpha, at(3));
      when(beta, 'flush', () => beta.crash('power'));
      const failed = watch(alpha.submit(at(3), block(2)));
      await clock.run(3000);
      expect([failed.answer, beta.up]).toEqual(['EIO', false]);
      expect((await alpha.snapshot()).record.inSync).toContain('alpha');
      await mended(pair);
      expect(await alpha.read(at(extent, 1), BLOCK)).toEqual(block(7));
    },
  );

  test('whose peer is gone for good then does not keep this node from going on alone', async () => {
    const pair = await joined({ replication });
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(at(3, 1), block(7))).toBeNull();
    breakBlocks(alpha, at(3));
    when(beta, 'flush', () => beta.crash('power'));
    const failed = watch(alpha.submit(at(3), block(2)));
    await clock.run(5000);
    expect(failed.answer).toBe('EIO');
    expect(await alpha.write(at(3, 2), block(8))).toBeNull();
    expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(7));
  });

  test('while others are written: what is acknowledged before the record is, is at the peer when the record is', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const pair = await joined({ replication }, seed);
      const { alpha, beta, clock } = pair;
      // Between the peer's flush and the record.
      alpha.sidecarMs = 5;
      breakBlocks(alpha, at(3));
      const failed = watch(alpha.submit(at(3), block(2)));
      const writes: Watched[] = [];
      for (let i = 0; i < 30; i++) {
        writes.push(watch(alpha.submit(at(i + 10), block(i + 10))));
        await clock.run(0.4);
      }
      await clock.run(100, () => failed.answer === null);
      beta.crash('power');
      expect([seed, failed.answer]).toEqual([seed, null]);
      const known = writes.map(({ answer }) => answer === null);
      await mended(pair);
      for (const [i, acknowledged] of known.entries())
        if (acknowledged)
          expect([seed, i, (await alpha.read(at(i + 10), BLOCK))[0]]).toEqual([seed, i, i + 10]);
    }
  });

  test('that is repaired leaves nothing behind: under load, no write waits for a flush of the peer any more', async () => {
    const pair = await stale({ replication });
    const { alpha, beta, clock } = pair;
    alpha.disk.faults = {};
    let next = 0;
    let ended = 0;
    const load = (): void => {
      if (next >= 4000) return;
      const extent = 5 + (next++ % 40);
      void alpha.submit(at(extent), block(9)).then(() => {
        ended++;
        load();
      });
    };
    for (let i = 0; i < 4; i++) load();
    const repaired = await clock.run(10_000, () => alpha.seen?.record.inSync.length === 2);
    await clock.run(50);
    let flushes = 0;
    beta.disk.onOperation = (kind) => {
      if (kind === 'flush') flushes++;
    };
    const before = ended;
    await clock.run(1000, () => ended - before > 300);
    expect([repaired, ended - before > 300, flushes < 3]).toEqual([true, true, true]);
  });
});

test.each(['memsync', 'async'] as const)(
  '%s: a write to a stale extent that a plain hastd answers with an error is not acknowledged, whatever its flush says',
  async (replication) => {
    const pair = new SimPair(61, { replication, peerKind: 'hastd' });
    const { alpha, beta, clock } = pair;
    await alpha.start();
    await beta.start();
    await beta.run({ type: 'become-secondary' });
    await pair.promote(alpha, ['alpha']);
    await clock.run(4000);
    breakBlocks(alpha, at(3));
    expect(await alpha.write(at(3), block(2))).toBeNull();
    beta.disk.latencyMs = 5;
    beta.disk.faults.write = () => 'EIO';
    expect(await alpha.write(at(3, 1), block(3))).toBe('EIO');
  },
);

test('what a failed local flush took is recorded as the peer’s alone also when that is gone at once', async () => {
  const pair = await joined({ replication: 'fullsync' });
  const { alpha, beta, clock } = pair;
  expect(await alpha.write(at(5), block(5))).toBeNull();
  alpha.disk.faults.flush = () => {
    alpha.disk.faults = {};
    return 'EIO';
  };
  // The second flush there is for what was written since the first.
  when(beta, 'flush', () => when(beta, 'flush', () => beta.crash('power')));
  const flush = watch(new Promise((resolve) => alpha.device?.flush(resolve)));
  await clock.run(3000);
  expect([beta.up, flush.answer === null]).toEqual([false, false]);
  expect((await alpha.snapshot()).record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
  await mended(pair);
  expect(flush.answer).toBe('EIO');
  expect(await alpha.read(at(5), BLOCK)).toEqual(block(5));
});

test('without a stale extent no write asks the peer for a flush', async () => {
  const { alpha, beta, clock } = await joined();
  let flushes = 0;
  beta.disk.onOperation = (kind) => {
    if (kind === 'flush') flushes++;
  };
  for (let i = 0; i < 30; i++) expect(await alpha.write(at(i), block(1))).toBeNull();
  await clock.run(50);
  expect(flushes).toBe(0);
});

describe('a primary whose lost extents came back, and whose peer dies before it is told,', () => {
  async function alone(
    flush: () => string | null,
    gone: (pair: SimPair) => void = ({ beta }) => beta.crash('power'),
  ): Promise<SimPair> {
    const pair = await stale();
    const { alpha, beta, clock } = pair;
    alpha.disk.faults = { flush };
    // The last step of getting in sync.
    let isGone = false;
    when(beta, 'flush', () => {
      isGone = true;
      gone(pair);
    });
    await clock.run(5000, () => isGone);
    return pair;
  }

  test('goes on alone with a copy that is durable and counts, and the peer gets what it lacks', async () => {
    const pair = await alone(() => null);
    const { alpha, clock } = pair;
    const write = watch(alpha.submit(at(9), block(9)));
    await clock.run(5000);
    expect(write.answer).toBeNull();
    expect((await alpha.snapshot()).record).toMatchObject({ state: 'clean', inSync: ['alpha'] });
    const stored = alpha.dataOffset + at(3);
    expect(alpha.disk.durable.subarray(stored, stored + BLOCK)).toEqual(block(2));
    await mended(pair);
    expect(await alpha.read(at(9), BLOCK)).toEqual(block(9));
  });

  test('does not go on with a copy that it cannot flush', async () => {
    const pair = await alone(() => 'EIO');
    const { alpha, clock } = pair;
    const write = watch(alpha.submit(at(9), block(9)));
    await clock.run(5000);
    expect(write.answer).toBeUndefined();
    expect((await alpha.snapshot()).record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
    await mended(pair);
    expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  });

  test('goes on, flushes too, when it was a flush that took them, which the disk does again', async () => {
    const pair = await joined();
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(at(3), block(2))).toBeNull();
    alpha.disk.faults.flush = () => {
      alpha.disk.faults = {};
      return 'EIO';
    };
    when(beta, 'read', () => when(beta, 'flush', () => beta.crash('power')));
    const flush = watch(new Promise((resolve) => alpha.device?.flush(resolve)));
    await clock.run(8000, () => !beta.up);
    expect([flush.answer, beta.up]).toEqual([null, false]);
    const write = watch(alpha.submit(at(9), block(9)));
    await clock.run(5000);
    expect(write.answer).toBeNull();
    expect((await alpha.snapshot()).record).toMatchObject({ state: 'clean', inSync: ['alpha'] });
    expect(await alpha.flush()).toBeNull();
    await mended(pair);
    expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  });

  test('does not go on with one of which a flush may have taken what came back, also when the next one succeeds', async () => {
    let failed = false;
    const pair = await alone(
      () => {
        const error = failed ? null : 'EIO';
        failed = true;
        return error;
      },
      ({ net }) => {
        net.refusing = true;
        net.resetAll();
      },
    );
    const { alpha, clock, net } = pair;
    const write = watch(alpha.submit(at(9), block(9)));
    await clock.run(10_000);
    expect([failed, write.answer, (await alpha.snapshot()).record.inSync]).toEqual([true, 'EIO', ['beta']]);
    net.refusing = false;
    await mended(pair);
    expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  });

  test('leaves the peer a candidate then, when that is there still and only the data link is not', async () => {
    const pair = await alone(
      () => 'EIO',
      ({ net }) => {
        net.refusing = true;
        net.resetAll();
      },
    );
    const { alpha, beta, clock } = pair;
    const write = watch(alpha.submit(at(9), block(9)));
    await clock.run(5000);
    expect([write.answer, (await beta.snapshot()).record.state]).toEqual(['EIO', 'clean']);
    alpha.crash('power');
    await pair.promote(beta, ['beta']);
    expect(await beta.read(at(3), BLOCK)).toEqual(block(2));
  });
});

test('a local write error while the peer is resynced leaves each extent to the side that has it, also after the link broke', async () => {
  const pair = await joined({ resyncRate: 262_144 });
  const { alpha, beta, clock, net } = pair;
  beta.crash('power');
  for (let e = 10; e < 20; e++) expect(await alpha.write(at(e), block(e))).toBeNull();
  await beta.start();
  await beta.run({ type: 'become-secondary' });
  await clock.run(5000, () => alpha.seen?.sync != null);
  breakBlocks(alpha, at(3));
  expect(await alpha.write(at(3), block(2))).toBeNull();
  net.resetAll();
  await clock.run(500);
  await mended(pair);
  expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
  for (let e = 10; e < 20; e++) expect(await alpha.read(at(e), BLOCK)).toEqual(block(e));
});
