/**
 * hastd's known faults with peers, metadata and speed, 6 to 10 of ten: each test first shows the moment that
 * breaks hastd, then that ours survives it.
 * @see hast.md sections 10 and 13
 */
import { describe, expect, test } from 'vitest';
import type { NvField } from '../../src/protocol/nv.ts';
import { METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';
import { decideByCounters } from '../../src/replication/split-brain.ts';
import * as hastd from '../support/hastd-model.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';
import { shakeHands, text, u64, u8, VIRGIN, Wire } from '../support/sim-wire.ts';

const EXTENT = 65536;
const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);

async function joined(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(41, options);
  await pair.join();
  return pair;
}

/** Requests at which a hastd secondary aborts, asserts, or loses its place in the stream (10.8, 10.9). */
const TO_SECONDARY: [string, NvField[], Buffer | undefined][] = [
  ['an unknown cmd', [u8('cmd', 99), u64('seq', 1)], undefined],
  ['no cmd', [u64('seq', 1)], undefined],
  ['a cmd of another type', [u64('cmd', 2), u64('seq', 1)], undefined],
  ['a WRITE beyond the end, with its data', [u8('cmd', 2), ...range(2 ** 40, 512)], block(1, 512)],
  ['a WRITE of another length than its data', [u8('cmd', 2), ...range(0, 4096)], block(1, 512)],
  ['lzf that is too short', [u8('cmd', 2), ...range(0, 4096), text('compression', 'lzf')], block(1, 4)],
  [
    'lzf of another size',
    [u8('cmd', 2), ...range(0, 4096), text('compression', 'lzf')],
    Buffer.alloc(64, 0xff),
  ],
  ['a hole of gigabytes', [u8('cmd', 2), ...range(0, 4096), text('compression', 'hole')], block(0xff, 4)],
  ['an unknown checksum', [u8('cmd', 2), ...range(0, 512), text('checksum', 'md5')], block(1, 512)],
  ['a READ of nothing', [u8('cmd', 1), ...range(0, 0)], undefined],
  ['a READ at an odd place', [u8('cmd', 1), ...range(17, 512)], undefined],
  ['a READ of gigabytes', [u8('cmd', 1), ...range(0, 2 ** 33)], undefined],
  [
    'an offset above 2^53',
    [u8('cmd', 1), u64('seq', 1), u64('offset', 2n ** 63n), u64('length', 512)],
    undefined,
  ],
];

function range(offset: number, length: number): NvField[] {
  return [u64('seq', 1), u64('offset', offset), u64('length', length)];
}

const TOKEN: NvField = { name: 'token', type: 'bytes', value: Buffer.alloc(16, 7) };
type Answer = (sizes: readonly NvField[]) => [NvField[], Buffer?];

/** Answers to the second handshake message at which a hastd primary asserts, or believes what cannot be. */
const TO_PRIMARY: [string, Answer][] = [
  ['a map that is too small', (sizes) => [[...sizes, u8('syncsrc', 1), u32('mapsize', 4)], block(0xff, 4)]],
  ['a map that was announced only', (sizes) => [[...sizes, u8('syncsrc', 1), u32('mapsize', 512)]]],
  [
    'a map of gigabytes',
    (sizes) => [[...sizes, u8('syncsrc', 1), u32('mapsize', 0xffffffff)], block(0, 512)],
  ],
  [
    'a map that cannot be unpacked',
    (sizes) => [[...sizes, u32('mapsize', 512), text('compression', 'lzf')], block(1, 3)],
  ],
  ['no sizes at all', () => [[u8('syncsrc', 1)]]],
  ['sizes of another type', () => [[text('datasize', 'x')]]],
];

function u32(name: string, value: number): NvField {
  return { name, type: 'uint32', value };
}

/** Plays beta once, up to the answer to the second message. */
async function answerOnce(pair: SimPair, answer: Answer): Promise<Wire> {
  const wires: Wire[] = [];
  pair.net.listen('beta', (connection) => wires.push(new Wire(pair, connection)));
  await pair.clock.run(3000, () => wires[0]?.frames.length === 1);
  wires[0]?.send([u8('version', 2), TOKEN]);
  await pair.clock.run(3000, () => wires[1]?.frames.length === 1);
  const { datasize, extentsize } = await pair.alpha.snapshot();
  const [fields, data] = answer([
    { name: 'datasize', type: 'int64', value: datasize },
    { name: 'extentsize', type: 'int32', value: extentsize },
  ]);
  wires[0]?.send(fields, data);
  await pair.clock.run(200);
  pair.net.nodeDied('beta', true);
  if (wires[0] === undefined) throw new Error('the primary did not come');
  return wires[0];
}

describe('Beat hastd', () => {
  test('6: no input from a peer crashes, hangs or desynchronizes a node', async () => {
    for (const [what, fields, data] of TO_SECONDARY) {
      const pair = new SimPair(7, { peerKind: 'hastd' });
      await pair.beta.start();
      await pair.beta.run({ type: 'become-secondary' });
      const { one, two } = await shakeHands(pair, VIRGIN);
      one.send(fields, data);
      one.send([u8('cmd', 2), u64('seq', 2), u64('offset', 4096), u64('length', 512)], block(9, 512));
      await pair.clock.run(50);
      // Either the stream goes on behind the refusal, or the link is closed and another one works.
      const answers = two.frames.map(({ nv }) => [nv.big('seq', 'uint64'), nv.number('error', 'int16') ?? 0]);
      if (one.closed === null)
        expect([what, answers]).toEqual([
          what,
          [
            [expect.anything(), 22],
            [2n, 0],
          ],
        ]);
      const used = [u64('resuid', 4660), u64('localcnt', 0), u64('remotecnt', 0)];
      const again = await shakeHands(pair, used);
      again.one.send([u8('cmd', 2), ...range(8192, 512)], block(5, 512));
      expect([what, (await again.two.next()).nv.has('error'), pair.beta.data[8192]]).toEqual([
        what,
        false,
        5,
      ]);
    }
    for (const [what, answer] of TO_PRIMARY) {
      const pair = new SimPair(8, { peerKind: 'hastd' });
      await pair.alpha.start();
      await pair.promote(pair.alpha, ['alpha']);
      const wire = await answerOnce(pair, answer);
      expect([what, wire.closed === null]).toEqual([what, false]);
      expect(await pair.alpha.write(0, block(4))).toBeNull();
      await pair.beta.start();
      await pair.beta.run({ type: 'become-secondary' });
      await pair.clock.run(5000);
      expect([what, pair.beta.data[0]]).toEqual([what, 4]);
    }
  });

  test('7: metadata is flushed before it counts, and a torn or lost write of it is survived', async () => {
    let torn = 0;
    for (let seed = 0; seed < 60; seed++) {
      const pair = new SimPair(100 + seed);
      await pair.join();
      pair.beta.crash('power');
      const before = Buffer.from(pair.alpha.disk.durable.subarray(0, METADATA_BYTES));
      let cutAt = 0;
      pair.alpha.disk.onOperation = (kind, offset) => {
        if (kind === 'writeDurable' && offset === 0) cutAt = pair.clock.now() + pair.random.next() * 0.4;
      };
      const write = pair.alpha.submit(0, block(1));
      const seen = { answered: false };
      void write.then(() => (seen.answered = true));
      await pair.clock.run(3000, () => cutAt > 0 && pair.clock.now() >= cutAt);
      pair.alpha.crash('power');
      const after = pair.alpha.disk.durable.subarray(0, METADATA_BYTES);
      if (!seen.answered && !after.equals(before)) torn++;
      const { record, resuid, freshness } = await pair.alpha.start();
      expect([resuid === '0', record.primary, record.epoch.number]).toEqual([false, 'alpha', 1]);
      expect([['alpha'], ['alpha', 'beta']]).toContainEqual(record.inSync);
      if (seen.answered) expect([record.inSync, freshness.kind]).toEqual([['alpha'], 'inSync']);
      await pair.beta.start();
      await pair.beta.run({ type: 'become-secondary' });
      await pair.promote(pair.alpha, ['alpha']);
      await pair.untilInSync(pair.beta);
    }
    // Some cuts did hit the write itself; hastd has one copy of what they left half.
    expect(torn).toBeGreaterThan(5);
    const lost = await joined();
    lost.beta.crash('power');
    const stale = Buffer.from(lost.alpha.disk.content.subarray(0, METADATA_BYTES));
    expect(await lost.alpha.write(0, block(1))).toBeNull();
    lost.alpha.crash('power');
    for (const image of [lost.alpha.disk.content, lost.alpha.disk.durable]) stale.copy(image);
    expect(await lost.alpha.start()).toMatchObject({
      record: { inSync: ['alpha'] },
      freshness: { kind: 'unknown' },
    });
  });

  test('8: a dead peer is noticed without traffic, within the time that status shows', async () => {
    for (const peerKind of ['hastate', 'hastd'] as const) {
      const pair = new SimPair(9, { peerKind });
      await pair.alpha.start();
      await pair.beta.start();
      await pair.beta.run({ type: 'become-secondary' });
      await pair.promote(pair.alpha, ['alpha']);
      await pair.clock.run(5000);
      for (const node of [pair.alpha, pair.beta]) expect((await node.snapshot()).status).toBe('complete');
      pair.net.loseAll();
      pair.net.refusing = true;
      expect(hastd.noticesDeadPeer({ outstanding: 0 })).toBe(false);
      const limits = [await pair.alpha.snapshot(), await pair.beta.snapshot()].map((s) => s.peerTimeoutMs);
      expect(Math.max(...limits)).toBeLessThanOrEqual(peerKind === 'hastate' ? 600 : 31_000);
      const start = pair.clock.now();
      for (const [index, node] of [pair.alpha, pair.beta].entries()) {
        const limit = limits[index] ?? 0;
        // One beat to look, one time on the wire.
        await pair.clock.run(start + limit + 150 - pair.clock.now(), () =>
          node.kinds().includes('disconnected'),
        );
        expect([peerKind, node.name, (await node.snapshot()).dataLinkUp]).toEqual([
          peerKind,
          node.name,
          false,
        ]);
      }
      expect((await pair.alpha.snapshot()).status).toBe('degraded');
    }
  });

  test('9: local I/O, remote I/O and resync overlap, with many requests in flight', async () => {
    const pair = await joined({ replication: 'fullsync', sizeBytes: 16 * 1024 * 1024 });
    pair.beta.crash('process');
    await pair.alpha.write(0, block(1, 1048576));
    for (let i = 1; i < 12; i++) await pair.alpha.write(i * 1048576, block(1, 1048576));
    await pair.clock.run(1000);
    for (const node of [pair.alpha, pair.beta]) node.disk.latencyMs = 10;
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.clock.run(10_000, () => pair.alpha.kinds().includes('sync-started'));
    const atDisk = { alpha: 0, beta: 0 };
    const started = pair.clock.now();
    for (const node of [pair.alpha, pair.beta])
      node.disk.onOperation = (kind, offset) => {
        if (kind === 'write' && offset >= node.dataOffset + 13 * 1048576) atDisk[node.name]++;
      };
    const writes = Array.from({ length: 32 }, (_, i) => pair.alpha.submit(13 * 1048576 + i * 4096, block(2)));
    const reads = Array.from({ length: 8 }, (_, i) => pair.alpha.read(i * 65536, 4096));
    await pair.clock.run(5);
    await pair.clock.run(25, () => atDisk.beta >= 16);
    // Neither disk has finished the first of them, both have most of them.
    expect([atDisk.alpha, atDisk.beta >= 16]).toEqual([32, true]);
    expect(await pair.clock.finish(Promise.all(writes))).toEqual(writes.map(() => null));
    await pair.clock.finish(Promise.all(reads));
    const took = pair.clock.now() - started;
    expect(took).toBeLessThan(hastd.serialMs(32 + 8, 10) / 3);
    expect((await pair.alpha.snapshot()).sync).not.toBeNull();
    await pair.untilInSync(pair.beta);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });

  test('10: a split-brain is told apart by history where counters see none, and a command ends it', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    pair.net.silent = true;
    await pair.clock.run(3000);
    expect(await pair.alpha.write(0, block(2))).toBeNull();
    const epoch = await pair.promote(pair.beta, ['beta']);
    expect(await pair.beta.write(EXTENT, block(3))).toBeNull();
    for (const node of [pair.alpha, pair.beta]) await node.run({ type: 'release', handover: false });
    await pair.alpha.run({ type: 'become-secondary' });
    await pair.beta.run({
      type: 'prepare-primary',
      epoch: { number: epoch.number + 3, id: 'ee'.repeat(8) },
      inSync: ['beta'],
    });
    await pair.beta.run({ type: 'become-primary', epoch: { number: epoch.number + 3, id: 'ee'.repeat(8) } });
    // Two outages on both sides: the counters of such disks may be anything, also these.
    const equalCounters = { local: 1n, remote: 1n };
    expect(decideByCounters(equalCounters, equalCounters)).toMatchObject({ kind: 'sync' });
    pair.net.silent = false;
    await pair.clock.run(4000);
    for (const node of [pair.alpha, pair.beta]) expect(node.kinds()).toContain('split-brain');
    expect([pair.alpha.data[0], pair.beta.data[0], pair.beta.data[EXTENT]]).toEqual([2, 1, 3]);
    expect((await pair.beta.snapshot()).dataLinkUp).toBe(false);
    await expect(pair.beta.run({ type: 'discard' })).rejects.toMatchObject({ code: 'is-primary' });
    await pair.alpha.run({ type: 'discard' });
    await pair.untilInSync(pair.alpha);
    expect([pair.alpha.data[0], pair.alpha.data[EXTENT]]).toEqual([1, 3]);
    expect(pair.alpha.data.equals(pair.beta.data)).toBe(true);
  });
});
