/** Promotion, handover, joining, split-brain, and what a disk is worth after each. */
import { describe, expect, test } from 'vitest';
import { DEFAULT_TIMING } from '../../src/model/timing.ts';
import { EngineError } from '../../src/model/errors.ts';
import { METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';

const { holdMs: H, promotionDelayMs: D } = DEFAULT_TIMING;
const EXTENT = 65536;
const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);

async function joined(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(23, options);
  await pair.join();
  return pair;
}

describe('B7', () => {
  test('a promotion applies what lies in the socket, and it is durable before the new epoch', async () => {
    const pair = await joined({ replication: 'async' });
    pair.net.readDelayMs = 1000;
    await pair.clock.run(200);
    expect(await pair.alpha.write(0, block(4))).toBeNull();
    await pair.clock.run(1);
    expect(pair.beta.data[0]).toBe(0);
    pair.alpha.crash('power');
    const epoch = pair.nextEpoch();
    await pair.beta.run({ type: 'prepare-primary', epoch, inSync: ['beta'] });
    expect(pair.beta.disk.durable.subarray(pair.beta.dataOffset, pair.beta.dataOffset + 4096)).toEqual(
      block(4),
    );
    expect((await pair.beta.snapshot()).record).toMatchObject({ epoch, primary: 'beta', inSync: ['beta'] });
  });

  test('the record of a promotion is durable before anything is served', async () => {
    const pair = await joined();
    pair.alpha.crash('power');
    await pair.clock.run(D + 100);
    const epoch = await pair.promote(pair.beta, ['beta']);
    pair.beta.crash('power');
    expect((await pair.beta.start()).record).toMatchObject({ epoch, primary: 'beta', inSync: ['beta'] });
  });

  test('an epoch that is not higher is refused', async () => {
    const pair = await joined();
    const { epoch } = (await pair.beta.snapshot()).record;
    await expect(pair.beta.run({ type: 'prepare-primary', epoch, inSync: ['beta'] })).rejects.toThrow(
      EngineError,
    );
    await expect(
      pair.beta.run({ type: 'become-primary', epoch: { number: epoch.number, id: 'cd'.repeat(8) } }),
    ).rejects.toThrow('not above');
  });

  test('a disk that cannot flush is not promoted', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    pair.alpha.crash('process');
    pair.beta.disk.faults.flush = () => 'EIO';
    await expect(
      pair.beta.run({ type: 'prepare-primary', epoch: pair.nextEpoch(), inSync: ['beta'] }),
    ).rejects.toThrow('failed to flush');
    expect((await pair.beta.snapshot()).freshness.kind).toBe('inconsistent');
  });
});

describe('a promotion is refused', () => {
  test('for an outdated disk, which stays what it is and may follow again, unless it is forced', async () => {
    const pair = await joined();
    const { epoch: old } = (await pair.alpha.snapshot()).record;
    pair.net.silent = true;
    await pair.beta.run({ type: 'outdate', epoch: old });
    const epoch = pair.nextEpoch();
    const command = { type: 'prepare-primary', epoch, inSync: ['beta'] } as const;
    await expect(pair.beta.run(command)).rejects.toMatchObject({
      code: 'not-in-sync',
      message: expect.stringContaining('outdated') as string,
    });
    expect((await pair.beta.snapshot()).record).toMatchObject({ state: 'outdated', epoch: old });
    pair.net.silent = false;
    await pair.untilInSync(pair.beta);
    pair.alpha.crash('power');
    await pair.beta.run({ type: 'outdate', epoch: old });
    const forced = await pair.beta.run({ ...command, forced: true });
    expect(forced.record).toMatchObject({ state: 'clean', epoch, primary: 'beta' });
  });

  test('when what lay in the socket cannot be written here: the primary may have told that it is there', async () => {
    const pair = await joined();
    const { record } = await pair.beta.snapshot();
    expect(record.state).toBe('clean');
    pair.net.readDelayMs = 50_000;
    const written = pair.alpha.submit(0, block(9));
    await pair.clock.run(5);
    pair.alpha.crash('power');
    void written;
    // Neither the write nor the word that it failed is recorded anywhere.
    pair.beta.sidecarFault = 'full';
    pair.beta.disk.faults = { write: () => 'EIO', writeDurable: () => 'EIO' };
    const command = { type: 'prepare-primary', epoch: pair.nextEpoch(), inSync: ['beta'] } as const;
    await expect(pair.beta.run(command)).rejects.toMatchObject({ code: 'not-in-sync' });
    expect((await pair.beta.snapshot()).freshness.kind).toBe('inconsistent');
  });

  test('for a resync target half way', async () => {
    const pair = await joined();
    pair.beta.crash('process');
    await pair.alpha.write(0, block(8));
    pair.beta.disk.faults.write = () => 'EIO';
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.clock.run(2000);
    pair.alpha.crash('power');
    await expect(pair.promote(pair.beta, ['beta'])).rejects.toMatchObject({
      code: 'not-in-sync',
      message: expect.stringContaining('inconsistent') as string,
    });
  });

  test('when what lay in the socket shows that the peer lives; nothing is recorded', async () => {
    const pair = await joined();
    const { record } = await pair.beta.snapshot();
    pair.peerChannel = false;
    pair.net.readDelayMs = 50_000;
    await pair.clock.run(300);
    const heardBefore = pair.clock.now();
    await pair.clock.run(1);
    const command = { type: 'prepare-primary', epoch: pair.nextEpoch(), inSync: ['beta'] } as const;
    await expect(pair.beta.run({ ...command, heardBefore })).rejects.toMatchObject({ code: 'peer-alive' });
    expect((await pair.beta.snapshot()).record).toEqual(record);
    pair.net.readDelayMs = 0.2;
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
  });

  test('not for a peer that was last heard before', async () => {
    const pair = await joined();
    pair.alpha.crash('power');
    await pair.clock.run(D);
    const command = { type: 'prepare-primary', epoch: pair.nextEpoch(), inSync: ['beta'] } as const;
    const prepared = await pair.beta.run({ ...command, heardBefore: pair.clock.now() });
    expect(prepared.record.primary).toBe('beta');
  });
});

describe('joining', () => {
  test('the primary’s record names the secondary before the secondary believes it', async () => {
    const pair = new SimPair(5);
    const order: string[] = [];
    for (const node of [pair.alpha, pair.beta])
      node.disk.onOperation = (kind, offset) => {
        if (kind === 'flush') order.push(`${node.name} flushes`);
        if (kind === 'writeDurable' && offset === 0) order.push(`${node.name} records`);
      };
    await pair.join();
    const at = order.lastIndexOf('alpha records');
    expect(order.indexOf('beta flushes')).toBeLessThan(at);
    expect(order.lastIndexOf('beta records')).toBeGreaterThan(at);
    expect((await pair.beta.snapshot()).record).toEqual((await pair.alpha.snapshot()).record);
  });

  test('a resync target is durably inconsistent before the first byte is copied', async () => {
    const pair = await joined();
    pair.beta.crash('process');
    await pair.alpha.write(0, block(3, 131072));
    await pair.beta.start();
    let first: string | null = null;
    pair.beta.disk.onOperation = (kind, offset) => {
      if (kind === 'write' && offset >= pair.beta.dataOffset) first ??= pair.beta.seen?.record.state ?? '';
    };
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
    expect(first).toBe('inconsistent');
  });

  test('a resync that is cut again and again goes on where it can and ends equal', async () => {
    const pair = await joined({ sizeBytes: 8 * 1024 * 1024 });
    pair.beta.crash('power');
    for (let at = 0; at < 6 * 1024 * 1024; at += 1024 * 1024)
      await pair.alpha.write(at, block(at / 1024 / 1024 + 1, 1024 * 1024));
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    for (let i = 0; i < 5; i++) {
      await pair.clock.run(600, () => pair.alpha.kinds().at(-1) === 'sync-progress');
      pair.net.resetAll();
      await pair.clock.run(20);
    }
    await pair.untilInSync(pair.beta);
    expect(pair.alpha.kinds()).toContain('sync-interrupted');
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });

  test('a new disk beside a used one is copied in full', async () => {
    const pair = await joined();
    await pair.alpha.write(10 * EXTENT, block(9));
    await pair.alpha.flush();
    pair.beta.crash('power');
    await pair.alpha.write(0, block(1));
    pair.beta.disk.content.fill(0xaa);
    pair.beta.create();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });
});

describe('handover', () => {
  test('a released primary hands over, follows its successor and is in sync again', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    const released = await pair.alpha.run({ type: 'release', handover: true });
    expect(released).toMatchObject({ role: 'init', record: { released: true } });
    await pair.alpha.run({ type: 'become-secondary' });
    await pair.promote(pair.beta, ['alpha', 'beta']);
    await pair.untilInSync(pair.alpha);
    expect((await pair.alpha.snapshot()).record).toMatchObject({ released: false, primary: 'beta' });
    expect(pair.beta.kinds()).not.toContain('sync-started');
    expect(await pair.beta.write(0, block(2))).toBeNull();
  });

  test('without a peer in sync nothing is handed over', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    await pair.alpha.write(0, block(1));
    const released = await pair.alpha.run({ type: 'release', handover: true });
    expect(released).toMatchObject({
      role: 'init',
      record: { released: false },
      freshness: { kind: 'inSync' },
    });
  });

  test('nor to one whose disk fails to flush at that moment', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    pair.beta.disk.faults.flush = () => 'EIO';
    const released = await pair.alpha.run({ type: 'release', handover: true });
    expect(released).toMatchObject({ role: 'init', record: { released: false } });
  });

  test('release is idempotent, and ends I/O that was held', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    const held = pair.alpha.submit(0, block(1));
    await pair.clock.run(20);
    await pair.alpha.run({ type: 'release', handover: false });
    expect(await held).toBe('ESHUTDOWN');
    await expect(pair.alpha.run({ type: 'release', handover: false })).resolves.toMatchObject({
      role: 'init',
    });
  });
});

describe('D5', () => {
  test('two disks that went on apart are a split-brain for both: the link stays down and nothing is written', async () => {
    const pair = await joined();
    pair.net.silent = true;
    await pair.clock.run(D + 50);
    await pair.promote(pair.beta, ['beta']);
    await pair.clock.run(H * 2);
    const writes = [pair.alpha.submit(0, block(1)), pair.beta.submit(0, block(2))];
    expect(await pair.clock.finish(Promise.all(writes))).toEqual([null, null]);
    await pair.beta.run({ type: 'release', handover: false });
    await pair.beta.run({ type: 'become-secondary' });
    // The same epoch number would clash already; a higher one shows that the histories do too.
    await pair.alpha.run({ type: 'release', handover: false });
    await pair.promote(pair.alpha, ['alpha']);
    pair.net.silent = false;
    await pair.clock.run(3000);
    expect([pair.alpha.data[0], pair.beta.data[0]]).toEqual([1, 2]);
    expect(pair.alpha.kinds()).toContain('split-brain');
    expect(pair.beta.kinds()).toContain('split-brain');
    expect(await pair.alpha.snapshot()).toMatchObject({ role: 'primary', dataLinkUp: false });
    expect(await pair.beta.snapshot()).toMatchObject({ role: 'secondary', dataLinkUp: false });
  });
});

describe('a split-brain', () => {
  const reports = (node: SimPair['alpha']): number =>
    node.kinds().filter((kind) => kind === 'split-brain').length;

  test('of equal epochs is reported once, though every heartbeat shows it, and again when the peer’s changes', async () => {
    const pair = await joined();
    const { number } = (await pair.alpha.snapshot()).record.epoch;
    for (const id of ['ab', 'ab', 'ab', 'cd', 'cd'])
      await pair.alpha.run({ type: 'peer-epoch', epoch: { number, id: id.repeat(8) } });
    expect(reports(pair.alpha)).toBe(2);
  });

  test('is reported once by either node, though the primary tries again and again', async () => {
    const pair = await joined();
    pair.peerChannel = false;
    pair.net.silent = true;
    await pair.clock.run(D + H);
    // Both make the same epoch number, apart from each other.
    const { number } = pair.nextEpoch();
    for (const [node, id] of [
      [pair.beta, 'ab'],
      [pair.alpha, 'cd'],
    ] as const) {
      const epoch = { number, id: id.repeat(8) };
      await node.run({ type: 'release', handover: false });
      await node.run({ type: 'prepare-primary', epoch, inSync: [node.name] });
    }
    await pair.beta.run({ type: 'become-secondary' });
    await pair.alpha.run({ type: 'become-primary', epoch: { number, id: 'cd'.repeat(8) } });
    pair.net.silent = false;
    await pair.clock.run(10_000);
    // By the epochs, and by the refusal.
    expect(reports(pair.alpha)).toBeLessThanOrEqual(2);
    expect(reports(pair.alpha)).toBeGreaterThan(0);
    expect(reports(pair.beta)).toBe(1);
  });
});

describe('outdate', () => {
  test('is durable, and refused by a primary and from a lower epoch', async () => {
    const pair = await joined();
    const { epoch } = (await pair.alpha.snapshot()).record;
    await expect(pair.alpha.run({ type: 'outdate', epoch })).rejects.toThrow(EngineError);
    await expect(
      pair.beta.run({ type: 'outdate', epoch: { number: 0, id: '1'.repeat(16) } }),
    ).rejects.toThrow(EngineError);
    pair.net.refusing = true;
    await pair.beta.run({ type: 'outdate', epoch });
    pair.beta.crash('power');
    expect(await pair.beta.start()).toMatchObject({
      record: { state: 'outdated' },
      freshness: { kind: 'outdated' },
    });
  });
});

describe('a local disk that fails', () => {
  test('write: the peer has it, our extent is stale on disk too, reads come from the peer until it is repaired', async () => {
    const pair = await joined({ replication: 'fullsync' });
    pair.alpha.disk.faults.write = () => 'EIO';
    expect(await pair.alpha.write(0, block(7))).toBeNull();
    expect(await pair.alpha.read(0, 4096)).toEqual(block(7));
    const hurt = await pair.alpha.snapshot();
    expect(hurt.diskError).toContain('write');
    expect(hurt.record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
    pair.alpha.disk.faults = {};
    await pair.clock.run(5000, () => pair.alpha.seen?.record.state === 'clean');
    expect(pair.alpha.data.subarray(0, 4096)).toEqual(block(7));
    expect((await pair.alpha.snapshot()).record.inSync).toEqual(['alpha', 'beta']);
  });

  test('write without a peer: the application is told', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    await pair.alpha.write(0, block(1));
    pair.alpha.disk.faults.write = () => 'ENOSPC';
    expect(await pair.alpha.write(4096, block(2))).toBe('EIO');
  });

  test('read: the peer answers', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(5));
    pair.alpha.disk.faults.read = () => 'EIO';
    expect(await pair.alpha.read(0, 4096)).toEqual(block(5));
    expect(pair.alpha.kinds()).toContain('disk-error');
  });
});

describe('what a disk is worth after a start', () => {
  test('unknown while it was in sync with a peer, in sync for a sole owner', async () => {
    const pair = await joined();
    pair.beta.crash('process');
    expect((await pair.beta.start()).freshness.kind).toBe('unknown');
    pair.beta.crash('process');
    await pair.alpha.write(0, block(1));
    pair.alpha.crash('power');
    expect((await pair.alpha.start()).freshness).toEqual({ kind: 'inSync' });
  });

  test('a map that somebody overwrote makes it unknown, and it is copied in full', async () => {
    const pair = await joined();
    pair.beta.crash('process');
    // As hastd does with the first request after a connect.
    for (const image of [pair.beta.disk.content, pair.beta.disk.durable])
      image.fill(0, METADATA_BYTES, METADATA_BYTES + 512);
    pair.beta.disk.content.fill(0xaa, pair.beta.dataOffset, pair.beta.dataOffset + 3 * EXTENT);
    expect((await pair.beta.start()).freshness.kind).toBe('unknown');
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });

  test('another resource’s disk is refused', async () => {
    const pair = new SimPair(3);
    const { content, durable } = pair.alpha.disk;
    const other = new SimPair(3, { resource: 'other' });
    other.alpha.disk.content.copy(content);
    other.alpha.disk.content.copy(durable);
    await expect(pair.alpha.start()).rejects.toMatchObject({ code: 'metadata-resource' });
  });
});
