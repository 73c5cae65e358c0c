/**
 * hastd's known faults with data, 1 to 5 of ten: each test first shows the moment that breaks hastd, then
 * that ours survives it, beside another hastate and beside a plain hastd.
 * @see hast.md sections 10 and 13
 */
import { describe, expect, test } from 'vitest';
import { mapBit, METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';
import { createMetadata } from '../../src/replication/engine.ts';
import * as hastd from '../support/hastd-model.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';
import { fieldsOf, shakeHands, u64, u8, VIRGIN } from '../support/sim-wire.ts';

const EXTENT = 65536;
const KINDS = ['hastate', 'hastd'] as const;
const MODES = ['memsync', 'fullsync', 'async'] as const;
const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);

async function connected(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(41, options);
  if (options.peerKind !== 'hastd') {
    await pair.join();
    return pair;
  }
  await pair.alpha.start();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.promote(pair.alpha, ['alpha']);
  await pair.clock.run(4000);
  return pair;
}

/** Until both disks are the same, and the primary says that nothing is left to copy. */
async function equal(pair: SimPair, ms = 20_000): Promise<boolean> {
  await pair.clock.run(ms, () => pair.alpha.seen?.dirtyBytes === 0 && pair.alpha.data.equals(pair.beta.data));
  return pair.alpha.data.equals(pair.beta.data);
}

/** A primary's own: zeros, and a discard, that were on their way when the link died. */
async function zerosInFlight(peerKind: (typeof KINDS)[number]): Promise<void> {
  for (const verb of ['zero', 'discard'] as const) {
    const pair = await connected({ peerKind, replication: 'fullsync', punches: ['alpha', 'beta'] });
    // The last few extents written stay dirty on disk.
    for (const extent of [5, 20, 21, 22, 23])
      expect(await pair.alpha.write(extent * EXTENT, block(0xd3))).toBeNull();
    await pair.alpha.flush();
    await pair.clock.run(3000);
    expect(dirtyOnDisk(pair.alpha, 5)).toBe(false);
    pair.net.silent = true;
    const done = pair.alpha.begin(verb, 5 * EXTENT, 4096);
    await pair.clock.run(10);
    // To a plain hastd a discard is not passed on, and then neither disk changes.
    const changes = verb === 'zero' || peerKind === 'hastate';
    expect([verb, dirtyOnDisk(pair.alpha, 5), pair.beta.data[5 * EXTENT]]).toEqual([verb, changes, 0xd3]);
    expect(hastd.marksDirty({ cmd: 'delete', sent: true, answered: false, error: 0 })).toBe(false);
    pair.alpha.events.length = 0;
    pair.net.resetAll();
    pair.net.silent = false;
    expect(await pair.clock.finish(done)).toBeNull();
    await pair.clock.run(3000, () => pair.alpha.kinds().includes('sync-done'));
    expect([peerKind, verb, pair.alpha.kinds().includes('sync-started')]).toEqual([peerKind, verb, changes]);
    expect([peerKind, verb, await equal(pair)]).toEqual([peerKind, verb, true]);
    expect([verb, pair.beta.data[5 * EXTENT]]).toEqual([verb, changes ? 0 : 0xd3]);
  }
}

const dirtyOnDisk = (node: SimNode, extent: number): boolean =>
  mapBit(node.disk.durable.subarray(METADATA_BYTES), extent);

describe('Beat hastd', () => {
  test('1: a write that was sent but not answered when the link died is copied again in all three modes; so are one answered with an error, zeros, a discard, and a DELETE', async () => {
    for (const peerKind of KINDS) {
      for (const replication of MODES) {
        const pair = await connected({ peerKind, replication });
        await pair.alpha.flush();
        await pair.clock.run(3000);
        let sent = false;
        pair.net.onSent = (to, bytes) => (sent ||= to === 'beta' && bytes.includes(block(0xd1, 512)));
        pair.net.silent = true;
        const write = pair.alpha.submit(5 * EXTENT, block(0xd1));
        await pair.clock.run(10);
        expect([sent, pair.beta.data[5 * EXTENT]]).toEqual([true, 0]);
        expect(hastd.marksDirty({ cmd: 'write', sent, answered: false, error: 0 })).toBe(false);
        expect(dirtyOnDisk(pair.alpha, 5)).toBe(true);
        pair.net.resetAll();
        pair.net.silent = false;
        expect(await pair.clock.finish(write)).toBeNull();
        expect([peerKind, replication, await equal(pair)]).toEqual([peerKind, replication, true]);
        expect(pair.beta.data[5 * EXTENT]).toBe(0xd1);
      }
      await zerosInFlight(peerKind);
      const pair = await connected({ peerKind, replication: 'fullsync' });
      pair.beta.disk.faults.write = () => 'EIO';
      const write = pair.alpha.submit(6 * EXTENT, block(0xd2));
      await pair.clock.run(20);
      const { counters } = await pair.beta.snapshot();
      expect([counters.writeErrors > 0, pair.beta.data[6 * EXTENT]]).toEqual([true, 0]);
      expect(hastd.marksDirty({ cmd: 'write', sent: true, answered: true, error: 5 })).toBe(false);
      pair.beta.disk.faults = {};
      expect(await pair.clock.finish(write)).toBeNull();
      expect([peerKind, await equal(pair), pair.beta.data[6 * EXTENT]]).toEqual([peerKind, true, 0xd2]);
    }
    const pair = new SimPair(43, { peerKind: 'hastd' });
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    const { one, two } = await shakeHands(pair, VIRGIN);
    one.send([u8('cmd', 3), u64('seq', 1), u64('offset', 7 * EXTENT), u64('length', 4096)]);
    expect(fieldsOf(await two.next())).toEqual({ seq: 1 });
    expect(hastd.marksDirty({ cmd: 'delete', sent: true, answered: true, error: 0 })).toBe(false);
    expect(dirtyOnDisk(pair.beta, 7)).toBe(true);
    pair.beta.crash('power');
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    const again = await shakeHands(pair, [u64('resuid', 4660), u64('localcnt', 0), u64('remotecnt', 0)]);
    expect(mapBit(again.reply.data ?? Buffer.alloc(0), 7)).toBe(true);
  });

  test('2: a local write error marks the local extent stale on disk, reads go to the peer, and status says so', async () => {
    for (const peerKind of KINDS) {
      const pair = await connected({ peerKind, replication: 'fullsync' });
      await pair.alpha.write(3 * EXTENT, block(1));
      pair.alpha.disk.faults.write = () => 'EIO';
      expect(await pair.alpha.write(3 * EXTENT, block(2))).toBeNull();
      const local = pair.alpha.data.subarray(3 * EXTENT, 3 * EXTENT + 4096);
      expect([local[0], pair.beta.data[3 * EXTENT]]).toEqual([1, 2]);
      expect(hastd.readsAfterLocalError(local)).toEqual(block(1));
      expect(await pair.alpha.read(3 * EXTENT, 4096)).toEqual(block(2));
      expect(dirtyOnDisk(pair.alpha, 3)).toBe(true);
      const told = await pair.alpha.snapshot();
      expect(told).toMatchObject({ diskError: 'local write failed: EIO', record: { state: 'inconsistent' } });
      expect(told.counters.writeErrors).toBeGreaterThan(0);
      pair.alpha.crash('power');
      expect((await pair.alpha.start()).freshness).toEqual({ kind: 'inconsistent' });
      const promotion = pair.alpha.run({
        type: 'prepare-primary',
        epoch: { number: 99, id: 'ab'.repeat(8) },
        inSync: ['alpha'],
      });
      await expect(promotion).rejects.toMatchObject({ code: 'not-in-sync' });
    }
  });

  test('3: reads while a primary is synchronized from its secondary end, with the right data', async () => {
    const sizeBytes = 8 * 1024 * 1024;
    const failback = async (): Promise<[SimPair, SimNode]> => {
      const pair = await connected({ peerKind: 'hastd', sizeBytes });
      pair.beta.crash('process');
      for (let i = 0; i < 6; i++) await pair.alpha.write(i * 1048576, block(i + 1, 1048576));
      await pair.alpha.run({ type: 'release', handover: false });
      await pair.alpha.run({ type: 'become-secondary' });
      await pair.beta.start();
      await pair.promote(pair.beta, ['beta']);
      return [pair, pair.beta];
    };
    const localFailure = async (): Promise<[SimPair, SimNode]> => {
      const pair = await connected({ sizeBytes });
      pair.alpha.disk.faults.write = () => 'EIO';
      for (let i = 0; i < 6; i++) await pair.alpha.write(i * 1048576, block(i + 1, 1048576));
      pair.alpha.disk.faults = {};
      return [pair, pair.alpha];
    };
    for (const story of [failback, localFailure]) {
      const [pair, primary] = await story();
      await pair.clock.run(5000, () => primary.kinds().includes('sync-started'));
      expect((await primary.snapshot()).sync?.direction).toBe('fromPeer');
      expect([primary.data[5 * 1048576 + 4096], hastd.queuesRead('secondary')]).toEqual([0, false]);
      for (let i = 5; i >= 0; i--) expect(await primary.read(i * 1048576 + 4096, 4096)).toEqual(block(i + 1));
      await pair.clock.run(5000);
      expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
    }
  });

  test('4: an error during a resync, of either disk, leaves the extent dirty and the sync unfinished', async () => {
    for (const peerKind of KINDS) {
      for (const side of ['alpha', 'beta'] as const) {
        const pair = await connected({ peerKind });
        pair.beta.crash('process');
        await pair.alpha.write(5 * EXTENT, block(8));
        const node = pair.node(side);
        const at = node.dataOffset + 5 * EXTENT;
        const broken = (offset: number): string | null => (offset === at ? 'EIO' : null);
        node.disk.faults = side === 'beta' ? { write: broken } : { read: broken };
        await pair.beta.start();
        await pair.beta.run({ type: 'become-secondary' });
        await pair.clock.run(4000);
        const { counters } = await node.snapshot();
        expect(counters.writeErrors + counters.readErrors).toBeGreaterThan(0);
        expect(hastd.cleanAfterSync(counters.writeErrors + counters.readErrors)).toBe(true);
        expect((await pair.alpha.snapshot()).dirtyBytes).toBeGreaterThan(0);
        expect(pair.alpha.kinds().slice(pair.alpha.kinds().lastIndexOf('sync-started'))).not.toContain(
          'sync-done',
        );
        node.disk.faults = {};
        expect([peerKind, side, await equal(pair)]).toEqual([peerKind, side, true]);
        await pair.clock.run(5000);
        expect(pair.alpha.kinds()).toContain('sync-done');
      }
    }
  });

  test('5: the map never exceeds its region, whatever mediasize create was given', async () => {
    const mediasize = 1024 * 1024;
    const extentsize = 512;
    for (const peerKind of KINDS) {
      const pair = new SimPair(47, { peerKind, extentsize });
      for (const node of [pair.alpha, pair.beta]) {
        const made = createMetadata('disk', node.disk.sizeBytes, 512, {
          extentsize,
          keepdirty: 4,
          mediasize,
        });
        for (const image of [node.disk.content, node.disk.durable]) {
          image.fill(0);
          made.block.copy(image, 0);
          image.fill(0x77, made.meta.offset, made.meta.offset + 4096);
        }
        const region = made.meta.offset - METADATA_BYTES;
        expect(hastd.zeroedMapBytes(node.disk.sizeBytes, extentsize)).toBeGreaterThan(region);
      }
      const { offset } = createMetadata('disk', mediasize, 512, { extentsize, keepdirty: 4 }).meta;
      const outside: number[] = [];
      for (const { disk } of [pair.alpha, pair.beta]) {
        disk.onOperation = (kind, at) => {
          if (kind === 'writeDurable' && at >= offset) outside.push(at);
        };
      }
      await pair.alpha.start();
      await pair.beta.start();
      await pair.beta.run({ type: 'become-secondary' });
      await pair.promote(pair.alpha, ['alpha']);
      await pair.clock.run(3000);
      for (const at of [4096, 100 * 4096, 1024 * 1024 - 65536])
        expect(await pair.alpha.write(at, block(3))).toBeNull();
      await pair.clock.run(3000);
      for (const { disk } of [pair.alpha, pair.beta])
        expect(disk.content.subarray(offset, offset + 4096)).toEqual(block(0x77));
      expect(outside).toEqual([]);
    }
  });
});
