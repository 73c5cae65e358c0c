import { describe, expect, test } from 'vitest';
import { DiskError } from '../../../src/model/errors.ts';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import {
  METADATA_BYTES,
  decodeMetadataBlock,
  encodeMetadataBlock,
} from '../../../src/protocol/hast-metadata.ts';
import { createMetadata } from '../../../src/replication/engine.ts';
import { MetadataStore } from '../../../src/replication/metadata-store.ts';
import { SimClock, SimRandom } from '../../../src/simulate/sim-clock.ts';
import { SimDisk } from '../../../src/simulate/sim-disk.ts';

class Scene {
  readonly clock = new SimClock();
  readonly random = new SimRandom(4);
  readonly disk = new SimDisk(this.clock, this.random, 1 << 20);
  sidecar: Buffer | null = null;

  constructor() {
    const { block } = createMetadata('disk', this.disk.sizeBytes, 512, { extentsize: 65536, keepdirty: 4 });
    for (const image of [this.disk.content, this.disk.durable]) block.copy(image, 0);
  }

  open(): Promise<MetadataStore> {
    const sidecar = {
      load: () => Promise.resolve(this.sidecar),
      store: (content: Buffer) => {
        this.sidecar = content;
        return Promise.resolve();
      },
    };
    return this.clock.finish(MetadataStore.open(this.disk, sidecar, 'disk', this.random));
  }

  /** Moves the record to this epoch. */
  async to(store: MetadataStore, number: number): Promise<void> {
    const id = String(number).padStart(16, '0');
    await this.clock.finish(
      store.update(({ record }) => ({ record: { ...record, state: 'clean', epoch: { number, id } } })),
    );
  }
}

test('updates are written one after the other and the last one counts', async () => {
  const scene = new Scene();
  const store = await scene.open();
  const all = [1, 2, 3].map((number) =>
    store.update(({ record }) => ({ record: { ...record, epoch: { number, id: '00000000000000aa' } } })),
  );
  await scene.clock.finish(Promise.all(all));
  expect(store.record.epoch.number).toBe(3);
  expect(decodeMetadataBlock(scene.disk.durable.subarray(0, METADATA_BYTES), null).own).toMatchObject({
    sequence: 3n,
    record: { epoch: { number: 3 } },
  });
});

test('a new disk with a record and no canary yet is new, not one that a hastd wrote to', async () => {
  const scene = new Scene();
  const { meta } = await scene.open();
  const created = encodeMetadataBlock(meta, { record: VIRGIN_RECORD, sequence: 1n });
  for (const image of [scene.disk.content, scene.disk.durable]) created.copy(image, 0);
  const store = await scene.open();
  expect(store).toMatchObject({ doubt: null, mapLost: false, record: { state: 'virgin' } });
});

test('what cannot be written is not believed', async () => {
  const scene = new Scene();
  const store = await scene.open();
  scene.disk.faults.writeDurable = () => 'EIO';
  await expect(scene.to(store, 1)).rejects.toThrow(DiskError);
  expect(store.record.epoch.number).toBe(0);
  scene.disk.faults = {};
  await scene.to(store, 2);
  expect(store.record.epoch.number).toBe(2);
});

test('a power cut in the middle of an update leaves the old record or the new one, never a mixture', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const scene = new Scene();
    for (let i = 0; i < seed; i++) scene.random.next();
    const store = await scene.open();
    await scene.to(store, 1);
    store.canary.copy(scene.disk.durable, METADATA_BYTES + (store.canaryAt ?? 0));
    void store.update(({ record }) => ({
      record: { ...record, epoch: { number: 2, id: '0000000000000002' } },
    }));
    await scene.clock.run(0.05);
    scene.disk.powerCut();
    const { record } = await scene.open();
    expect([1, 2]).toContain(record.epoch.number);
    expect(record.epoch.id).toBe(String(record.epoch.number).padStart(16, '0'));
  }
});

describe('a component is refused', () => {
  test.each([
    [
      'too small for its data',
      (disk: SimDisk) => Object.assign(disk, { sizeBytes: 500_000 }),
      'disk-too-small',
    ],
    ['whose metadata is garbage', (disk: SimDisk) => disk.content.fill(0xee, 0, 4096), 'metadata-unreadable'],
    ['that cannot be read', (disk: SimDisk) => (disk.faults.read = () => 'EIO'), 'disk-read'],
  ])('%s', async (_, harm, code) => {
    const scene = new Scene();
    harm(scene.disk);
    await expect(scene.open()).rejects.toMatchObject({ code });
  });
});

describe('create', () => {
  test('lays out as hastctl does', () => {
    const { meta, map } = createMetadata('test', 64 << 20, 512, { extentsize: 2097152, keepdirty: 64 });
    expect(meta).toMatchObject({ datasize: 67104256, offset: 4608 });
    expect(map).toHaveLength(512);
  });

  test.each([
    [{ extentsize: 3 << 20, keepdirty: 64 }, 'create-extentsize'],
    [{ extentsize: 256, keepdirty: 64 }, 'create-extentsize'],
    [{ extentsize: 2097152, keepdirty: 0 }, 'create-keepdirty'],
    [{ extentsize: 2097152, keepdirty: 64, mediasize: 2 ** 40 }, 'create-size'],
    [{ extentsize: 2097152, keepdirty: 64, mediasize: 4096 }, 'create-size'],
  ])('refuses %o', (options, code) => {
    expect(() => createMetadata('test', 64 << 20, 512, options)).toThrow(expect.objectContaining({ code }));
  });
});
