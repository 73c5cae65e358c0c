/**
 * A primary whose own copy lacks something, beside a peer that loses its power or its link at the worst moment: the copy
 * that counts has every acknowledged write. @see SAFETY A2, A3
 */
import { describe, expect, test } from 'vitest';
import { at, block, BLOCK, breakBlocks, mended, MODES, stale, watch, when } from '../support/stale-pair.ts';

describe.each(MODES)(
  '%s: a write to an extent that is stale here and that the local disk takes',
  (replication) => {
    test('is acknowledged when the peer has flushed it: a power cut there right then takes nothing', async () => {
      const pair = await stale({ replication });
      const { alpha, beta, clock } = pair;
      const write = watch(alpha.submit(at(3, 1), block(3)), () => beta.crash('power'));
      await clock.run(1000);
      expect([write.answer, beta.up]).toEqual([null, false]);
      await mended(pair);
      expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(3));
    });

    test('is acknowledged after the peer has it: a link that is cut right then takes nothing', async () => {
      const pair = await stale({ replication });
      const { alpha, clock, net } = pair;
      const write = watch(alpha.submit(at(3, 1), block(3)), () => net.resetAll());
      await clock.run(1000);
      expect(write.answer).toBeNull();
      await mended(pair);
      expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(3));
    });

    test.each(['write', 'flush'] as const)(
      'is not acknowledged by a peer that loses its power at its %s, which takes nothing acknowledged before',
      async (kind) => {
        const pair = await stale({ replication });
        const { alpha, beta, clock } = pair;
        expect(await alpha.write(at(3, 1), block(3))).toBeNull();
        when(beta, kind, () => beta.crash('power'));
        const write = watch(alpha.submit(at(3, 2), block(4)));
        await clock.run(1000);
        expect([write.answer !== null, beta.up]).toEqual([true, false]);
        await mended(pair);
        expect(write.answer).toBe('EIO');
        expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
        expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(3));
      },
    );

    test('is not acknowledged when the peer took it, lost its power and came back before the local disk had it', async () => {
      const pair = await stale({ replication });
      const { alpha, beta, clock } = pair;
      alpha.disk.onOperation = (kind) => {
        alpha.disk.latencyMs = kind === 'write' ? 10_000 : 0.3;
      };
      const write = watch(alpha.submit(at(3, 1), block(3)));
      await clock.run(20);
      alpha.disk.onOperation = () => undefined;
      alpha.disk.latencyMs = 0.3;
      beta.crash('power');
      await beta.start();
      await beta.run({ type: 'become-secondary' });
      await clock.run(2000);
      expect([write.answer, alpha.seen?.dataLinkUp]).toEqual([undefined, true]);
      await clock.run(15_000);
      expect(write.answer).toBe('EIO');
      await mended(pair);
      expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
    });

    test('is not acknowledged when the link is cut before the peer has it', async () => {
      const pair = await stale({ replication });
      const { alpha, clock, net } = pair;
      net.silent = true;
      const write = watch(alpha.submit(at(3, 1), block(3)));
      await clock.run(20);
      net.resetAll();
      net.silent = false;
      await mended(pair);
      expect(write.answer).toBe('EIO');
      expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(0));
    });

    test('twice in the same place is there as it was acknowledged last', async () => {
      for (let seed = 1; seed <= 8; seed++) {
        const pair = await stale({ replication }, seed);
        const { alpha, beta, clock } = pair;
        const first = watch(alpha.submit(at(3, 1), block(3)));
        await clock.run(0.1 * seed);
        const second = watch(alpha.submit(at(3, 1), block(4)), () => beta.crash('power'));
        await clock.run(1000);
        expect([seed, first.answer, second.answer]).toEqual([seed, null, null]);
        await mended(pair);
        expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(4));
      }
    });

    test('is flushed at the peer with a FLUSH or FUA that comes in between, too', async () => {
      for (let seed = 1; seed <= 8; seed++) {
        const pair = await stale({ replication }, seed);
        const { alpha, beta, clock } = pair;
        const writes = [watch(alpha.submit(at(3, 1), block(3)))];
        await clock.run(0.2 * seed);
        const flush = watch(new Promise((resolve) => alpha.device?.flush(resolve)));
        writes.push(watch(alpha.submit(at(3, 2), block(4))));
        const fua = watch(alpha.submit(at(3, 3), block(5), true), () => beta.crash('power'));
        await clock.run(1000);
        expect([seed, flush.answer, fua.answer]).toEqual([seed, null, null]);
        const known = writes.map(({ answer }) => answer === null);
        await mended(pair);
        if (known[0] === true) expect(await alpha.read(at(3, 1), BLOCK)).toEqual(block(3));
        if (known[1] === true) expect(await alpha.read(at(3, 2), BLOCK)).toEqual(block(4));
        expect(await alpha.read(at(3, 3), BLOCK)).toEqual(block(5));
      }
    });

    test('is there when the extent was being repaired meanwhile, or its repair met another error', async () => {
      for (let seed = 1; seed <= 12; seed++) {
        const pair = await stale({ replication }, seed);
        const { alpha, beta, clock } = pair;
        alpha.disk.faults = {};
        // The repair is tried once per second.
        const repairing = await clock.run(5000, () => alpha.seen?.sync?.direction === 'fromPeer' && seed > 0);
        await clock.run(pair.random.next() * 1200);
        if (seed % 2 === 0) breakBlocks(alpha, at(3, 5));
        const write = watch(alpha.submit(at(3, 1 + (seed % 5)), block(3)), () => beta.crash('power'));
        await clock.run(1000);
        expect([seed, repairing, write.answer]).toEqual([seed, true, null]);
        await mended(pair);
        expect(await alpha.read(at(3, 1 + (seed % 5)), BLOCK)).toEqual(block(3));
        expect(await alpha.read(at(3), BLOCK)).toEqual(block(2));
      }
    });
  },
);

describe.each(MODES)('%s: after a local write error, before its repair,', (replication) => {
  test('a write elsewhere that both disks took survives a power cut of the peer right after its answer', async () => {
    const pair = await stale({ replication });
    const { alpha, beta, clock } = pair;
    const write = watch(alpha.submit(at(7), block(7)), () => beta.crash('power'));
    await clock.run(1000);
    expect(write.answer).toBeNull();
    await mended(pair);
    expect(await alpha.read(at(7), BLOCK)).toEqual(block(7));
  });

  test('both may lose their power: the peer has everything that was acknowledged, and takes over', async () => {
    const pair = await stale({ replication });
    const { alpha, beta, clock } = pair;
    const writes = Array.from({ length: 20 }, (_, i) =>
      watch(alpha.submit(at(i + 2, 1), block(i + 10)), () => {
        if (i === 12) for (const node of [beta, alpha]) node.crash('power');
      }),
    );
    await clock.run(1000);
    const known = writes.map(({ answer }) => answer === null);
    expect([known.filter(Boolean).length > 3, alpha.up]).toEqual([true, false]);
    alpha.disk.faults = {};
    expect((await alpha.start()).freshness.kind).toBe('inconsistent');
    await beta.start();
    await pair.promote(beta, ['beta']);
    for (const [i, acknowledged] of known.entries())
      if (acknowledged) expect([i, (await beta.read(at(i + 2, 1), BLOCK))[0]]).toEqual([i, i + 10]);
    expect(await beta.read(at(3), BLOCK)).toEqual(block(2));
  });
});
