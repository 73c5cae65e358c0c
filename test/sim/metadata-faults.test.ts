/** Metadata that is torn, lost, stale, swapped or rewritten by a plain hastd: the identity stays, what is not certain is unknown. */
import { describe, expect, test } from 'vitest';
import { NO_EPOCH } from '../../src/model/record.ts';
import { encodeMetadataBlock, encodeThirdCopy, METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';
import { createMetadata } from '../../src/replication/engine.ts';
import { MetadataStore } from '../../src/replication/metadata-store.ts';
import { SimClock, SimRandom } from '../../src/simulate/sim-clock.ts';
import { SimDisk } from '../../src/simulate/sim-disk.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';

const SECTOR = 512;
const RESUID = 77n;

/** A disk that was written twice: what stands on it after the first update and after the second. */
class Life {
  readonly clock = new SimClock();
  readonly random = new SimRandom(4);
  readonly disk = new SimDisk(this.clock, this.random, 1 << 20);
  readonly thirds: Buffer[] = [];
  readonly blocks: Buffer[] = [];
  third: Buffer | null = null;

  static async twoUpdates(): Promise<Life> {
    const life = new Life();
    const { block } = createMetadata('disk', life.disk.sizeBytes, SECTOR, {
      extentsize: 65536,
      keepdirty: 4,
    });
    block.copy(life.disk.content, 0);
    const store = await life.open();
    store.canary.copy(life.disk.content, METADATA_BYTES + (store.canaryAt ?? 0));
    for (const number of [1, 2]) {
      const epoch = { number, id: String(number).padStart(16, '0') };
      await life.clock.finish(
        store.update(({ record, meta }) => ({
          meta: { ...meta, resuid: RESUID },
          record: { ...record, state: 'clean', epoch, inSync: number === 1 ? ['alpha'] : ['alpha', 'beta'] },
        })),
      );
      life.blocks.push(Buffer.from(life.block));
      life.thirds.push(Buffer.from(life.third ?? ''));
    }
    return life;
  }

  get block(): Buffer {
    return this.disk.content.subarray(0, METADATA_BYTES);
  }

  open(): Promise<MetadataStore> {
    const sidecar = {
      load: () => Promise.resolve(this.third),
      store: (content: Buffer) => {
        this.third = content;
        return Promise.resolve();
      },
    };
    return this.clock.finish(MetadataStore.open(this.disk, sidecar, 'disk', this.random));
  }
}

function of<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`nothing at ${index}`);
  return found;
}

/** What is recorded in update 1 and 2. */
const RECORDED = [
  { epoch: 1, inSync: ['alpha'] },
  { epoch: 2, inSync: ['alpha', 'beta'] },
];
const told = ({ record }: MetadataStore): unknown => ({ epoch: record.epoch.number, inSync: record.inSync });

describe('a write of the metadata', () => {
  test('torn in any way, at any 512-byte boundary, keeps the identity and one of the two records', async () => {
    const life = await Life.twoUpdates();
    for (let mask = 0; mask < 256; mask++) {
      for (let sector = 0; sector < 8; sector++) {
        const from = of(life.blocks, (mask >> sector) & 1);
        from.copy(life.block, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
      }
      life.third = of(life.thirds, 0);
      const store = await life.open();
      expect([mask, store.meta.resuid, store.meta.resource]).toEqual([mask, RESUID, 'disk']);
      expect(RECORDED).toContainEqual(told(store));
      const whole = of(life.blocks, 0).equals(life.block) || of(life.blocks, 1).equals(life.block);
      if (whole) expect(store.doubt).toBeNull();
    }
  });

  test.each(Array.from({ length: 9 }, (_, sectors) => [sectors]))(
    'of which the first %i sectors became garbage is made good by a copy, and what it says is doubted',
    async (sectors) => {
      const life = await Life.twoUpdates();
      life.block.fill(0xa5, 0, sectors * SECTOR);
      const store = await life.open();
      expect([told(store), store.meta.resuid]).toEqual([RECORDED[1], RESUID]);
      expect(store.doubt === null).toBe(sectors === 0);
    },
  );

  test('that the disk lost shows by the third copy: the newer record counts and is doubted', async () => {
    const life = await Life.twoUpdates();
    of(life.blocks, 0).copy(life.block);
    const store = await life.open();
    expect(told(store)).toEqual(RECORDED[1]);
    expect(store.doubt).toContain('lost');
  });

  test('that the disk lost is not repeated by the next one: its sequence is above both', async () => {
    const life = await Life.twoUpdates();
    of(life.blocks, 0).copy(life.block);
    const store = await life.open();
    await life.clock.finish(store.update(({ record }) => ({ record: { ...record, state: 'outdated' } })));
    expect((await life.open()).record).toMatchObject({ state: 'outdated', epoch: { number: 2 } });
  });

  test('reaches the third copy only after it is durable on the disk', async () => {
    const life = await Life.twoUpdates();
    const store = await life.open();
    life.disk.faults.writeDurable = () => 'EIO';
    const failed = store.update(({ record }) => ({ record: { ...record, epoch: NO_EPOCH } }));
    await expect(life.clock.finish(failed)).rejects.toMatchObject({ code: 'metadata-write' });
    expect(life.third).toEqual(of(life.thirds, 1));
  });
});

describe('a copy', () => {
  test('that is older than the disk says nothing', async () => {
    const life = await Life.twoUpdates();
    life.third = of(life.thirds, 0);
    expect(told(await life.open())).toEqual(RECORDED[1]);
    of(life.blocks, 0).copy(life.block, 2048, 2048);
    const store = await life.open();
    expect([told(store), store.doubt]).toEqual([RECORDED[1], null]);
  });

  test('of a former life of the disk says nothing, however new', async () => {
    const life = await Life.twoUpdates();
    const store = await life.open();
    const old = { ...store.meta, resuid: 5n };
    life.third = encodeThirdCopy(old, { record: { ...store.record, inSync: ['beta'] }, sequence: 99n });
    const again = await life.open();
    expect([told(again), again.doubt, again.meta.resuid]).toEqual([RECORDED[1], null, RESUID]);
  });

  test('of another resource is never taken for this one, even when the disk is unreadable', async () => {
    const life = await Life.twoUpdates();
    const store = await life.open();
    life.third = encodeThirdCopy(
      { ...store.meta, resource: 'other' },
      { record: store.record, sequence: 9n },
    );
    expect(told(await life.open())).toEqual(RECORDED[1]);
    life.block.fill(0);
    await expect(life.open()).rejects.toMatchObject({ code: 'metadata-unreadable' });
  });

  test('that cannot be read or written is made up for by the two on the disk, and said', async () => {
    const life = await Life.twoUpdates();
    const fault = (): Promise<never> => Promise.reject(new Error('no space'));
    const news: (string | null)[] = [];
    const store = await life.clock.finish(
      MetadataStore.open(life.disk, { load: fault, store: fault }, 'disk', life.random, (error) =>
        news.push(error),
      ),
    );
    expect(store.copyError).toBe('no space');
    await life.clock.finish(store.update(({ record }) => ({ record: { ...record, state: 'outdated' } })));
    expect([store.record.state, news]).toEqual(['outdated', []]);
    life.third = null;
    expect((await life.open()).record.state).toBe('outdated');
  });
});

describe('a plain hastd that used the disk in between', () => {
  test('leaves its identity and counters, and a record of which nothing is believed', async () => {
    const life = await Life.twoUpdates();
    const { meta } = await life.open();
    // As hastd: the nine fields, zeros behind them; its map write zeroes the canary.
    encodeMetadataBlock({ ...meta, localcnt: 3n, prevrole: 'primary' }, null).copy(life.block);
    const store = await life.open();
    expect(store.meta).toMatchObject({ resuid: RESUID, localcnt: 3n, prevrole: 'primary' });
    expect(store.record).toMatchObject({ state: 'outdated', inSync: [], epoch: NO_EPOCH });
    expect(store.doubt).toContain('hastd');
  });

  test('and rewrote only the map has made everything doubtful', async () => {
    const life = await Life.twoUpdates();
    life.disk.content.fill(0, METADATA_BYTES, METADATA_BYTES + SECTOR);
    const store = await life.open();
    expect([store.doubt?.includes('hastd'), store.mapLost, store.record.state]).toEqual([
      true,
      true,
      'outdated',
    ]);
  });

  test('may go unnoticed when a record has no canary, so nothing is concluded from it', async () => {
    const life = await Life.twoUpdates();
    const { meta, record } = await life.open();
    encodeMetadataBlock(meta, { record, sequence: 9n }).copy(life.block);
    life.third = null;
    const store = await life.open();
    expect([store.doubt === null, store.record.state]).toEqual([false, 'outdated']);
  });
});

describe('a disk whose map leaves no room for a canary', () => {
  /** 4095 extents of 512 bytes fill a sector of map. */
  const options = { sizeBytes: 4096 + 1024 + 4095 * 512, extentsize: 512 };

  async function soleOwner(): Promise<SimPair> {
    const pair = new SimPair(5, options);
    await pair.join();
    pair.beta.crash('power');
    await pair.alpha.write(0, Buffer.alloc(512, 1));
    pair.alpha.crash('power');
    return pair;
  }

  test('is of unknown freshness after a start, whatever its record or the peer’s says', async () => {
    const pair = await soleOwner();
    const started = await pair.alpha.start();
    expect(started.record).toMatchObject({ primary: 'alpha', inSync: ['alpha'], state: 'clean' });
    expect(started.freshness.kind).toBe('unknown');
    const told = await pair.alpha.run({ type: 'set-freshness', freshness: { kind: 'inSync' } });
    expect(JSON.stringify(told.freshness)).toContain('hastate create -m');
  });

  test('is trusted again from the moment that a primary has made it whole', async () => {
    const pair = await soleOwner();
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    await pair.untilInSync(pair.beta);
    expect((await pair.beta.snapshot()).freshness).toEqual({ kind: 'inSync' });
    const released = await pair.alpha.run({ type: 'release', handover: false });
    expect(released.freshness).toMatchObject({ kind: 'unknown', why: 'no handshake since it was opened' });
  });
});

test('a blank disk in the place of the old one gets its identity from the state directory and all data from the peer', async () => {
  const pair = new SimPair(6);
  await pair.join();
  await pair.alpha.write(0, Buffer.alloc(65536, 9));
  await pair.alpha.flush();
  pair.beta.crash('power');
  for (const image of [pair.beta.disk.content, pair.beta.disk.durable]) image.fill(0);
  const started = await pair.beta.start();
  expect([started.freshness.kind, started.dirtyBytes]).toEqual(['unknown', started.datasize]);
  await pair.beta.run({ type: 'become-secondary' });
  await pair.untilInSync(pair.beta);
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
});

test('a full state directory does not keep a primary from going on alone, and is told until it is mended', async () => {
  const pair = new SimPair(7);
  await pair.join();
  pair.alpha.sidecarFault = 'the state directory is full';
  pair.beta.crash('power');
  expect(await pair.alpha.write(0, Buffer.alloc(4096, 1))).toBeNull();
  expect(await pair.alpha.snapshot()).toMatchObject({
    record: { inSync: ['alpha'] },
    warnings: ['the state directory is full'],
    diskError: null,
  });
  expect(pair.alpha.kinds().filter((kind) => kind === 'metadata-copy')).toHaveLength(1);
  pair.alpha.sidecarFault = null;
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.untilInSync(pair.beta);
  expect((await pair.alpha.snapshot()).warnings).toEqual([]);
});

test('a primary whose whole disk fails goes on through its peer, and records in the state directory that its copy is worth nothing', async () => {
  const pair = new SimPair(8);
  await pair.join();
  await pair.alpha.write(0, Buffer.alloc(4096, 1));
  const dead = (): string => 'EIO';
  pair.alpha.disk.faults = { write: dead, writeDurable: dead, flush: dead, read: dead };
  expect(await pair.alpha.write(0, Buffer.alloc(4096, 2))).toBeNull();
  expect(await pair.alpha.read(0, 4096)).toEqual(Buffer.alloc(4096, 2));
  expect((await pair.alpha.snapshot()).record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
  pair.alpha.crash('process');
  pair.alpha.disk.faults = {};
  expect((await pair.alpha.start()).record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
});
