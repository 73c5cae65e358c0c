/** Zeroing and discarding: both disks read the same, whatever their disks can do and whenever the link dies. */
import { describe, expect, test } from 'vitest';
import { METADATA_BYTES, mapBit } from '../../src/protocol/hast-metadata.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';
import { SimStory } from '../support/sim-story.ts';

const EXTENT = 65536;
const MIB = 1024 * 1024;
const SEEDS = Number(process.env['SIM_SEEDS'] ?? 8);
const FROM = Number(process.env['SIM_FROM'] ?? 1);
const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);
const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);
const BOTH = ['alpha', 'beta'] as const;

/** Both disks full of ones, in sync. */
async function filled(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(23, options);
  await pair.join();
  for (let at = 0; at < 3 * MIB; at += MIB) expect(await pair.alpha.write(at, block(1, MIB))).toBeNull();
  return pair;
}

async function expectEqual(pair: SimPair): Promise<void> {
  await pair.clock.run(100);
  expect(pair.alpha.data.equals(pair.beta.data)).toBe(true);
}

const bitOnDisk = (node: SimNode, extent: number): boolean =>
  mapBit(node.disk.durable.subarray(METADATA_BYTES), extent);

describe.each([
  ['both disks punch', BOTH],
  ['only the primary’s disk punches', ['alpha']],
  ['only the secondary’s disk punches', ['beta']],
  ['no disk punches', []],
] as const)('when %s', (_name, punches) => {
  test.each(['memsync', 'fullsync', 'async'] as const)(
    'zeros of any length are on both disks, and the rest is untouched (%s)',
    async (replication) => {
      const pair = await filled({ punches, replication });
      expect(await pair.alpha.zero(4096, 2 * MIB + 512)).toBeNull();
      await expectEqual(pair);
      expect(isZero(pair.alpha.data.subarray(4096, 4096 + 2 * MIB + 512))).toBe(true);
      expect(pair.alpha.data[4095]).toBe(1);
      expect(pair.alpha.data[4096 + 2 * MIB + 512]).toBe(1);
      for (const name of BOTH) {
        const punched = (punches as readonly string[]).includes(name) && punches.length > 0;
        const could = name === 'alpha' || punched;
        expect(pair.node(name).disk.punched > 0).toBe(punched && could);
      }
    },
  );

  test('where holes are not allowed zeros are written', async () => {
    const pair = await filled({ punches });
    expect(await pair.alpha.zero(0, MIB, { mayPunch: false })).toBeNull();
    await expectEqual(pair);
    expect(isZero(pair.alpha.data.subarray(0, MIB))).toBe(true);
    expect([pair.alpha.disk.punched, pair.beta.disk.punched]).toEqual([0, 0]);
  });

  test('a discard leaves both disks equal', async () => {
    const pair = await filled({ punches });
    expect(await pair.alpha.discard(0, 3 * MIB)).toBeNull();
    await expectEqual(pair);
    expect(isZero(pair.alpha.data.subarray(0, 3 * MIB))).toBe(punches.length === 2);
    expect(pair.alpha.device?.discards).toBe((punches as readonly string[]).includes('alpha'));
  });

  test('a fast request is refused at once, with nothing changed, unless both disks are fast', async () => {
    const pair = await filled({ punches });
    const fast = punches.length === 2;
    expect(await pair.alpha.zero(0, MIB, { fast: true })).toBe(fast ? null : 'ENOTSUP');
    expect(isZero(pair.alpha.data.subarray(0, MIB))).toBe(fast);
    expect(await pair.alpha.zero(MIB, MIB, { fast: true, mayPunch: false })).toBe('ENOTSUP');
    expect(pair.alpha.data[MIB]).toBe(1);
  });

  test.each(['memsync', 'fullsync'] as const)(
    'a %s pair with random faults loses no zeros that were acknowledged, and both disks end equal',
    { timeout: 120_000 },
    async (replication) => {
      for (let seed = FROM; seed < FROM + SEEDS; seed++)
        await expect(
          new SimStory(seed, { replication, punches }).run(5).catch((error: unknown) => {
            throw new Error(`seed ${seed}: ${String(error)}`);
          }),
        ).resolves.toBeUndefined();
    },
  );
});

test('A1: bits are durable before anything is punched, on both sides', async () => {
  const pair = await filled({ punches: BOTH, keepdirty: 1 });
  await pair.alpha.flush();
  const seen: string[] = [];
  for (const node of [pair.alpha, pair.beta])
    node.disk.onOperation = (kind, offset) => {
      const extent = Math.floor((offset - node.dataOffset) / EXTENT);
      if (kind === 'write') seen.push(`${node.name} ${extent} ${bitOnDisk(node, extent)}`);
    };
  expect(await pair.alpha.zero(2 * EXTENT, EXTENT)).toBeNull();
  expect(seen.sort()).toEqual(['alpha 2 true', 'beta 2 true']);
});

test('A7: a piece that was sent and not answered is copied after the reconnect', async () => {
  const pair = await filled({ punches: BOTH, replication: 'async' });
  pair.net.silent = true;
  expect(await pair.alpha.zero(5 * EXTENT, 4096)).toBeNull();
  pair.net.resetAll();
  pair.net.silent = false;
  await pair.clock.run(4000);
  await expectEqual(pair);
  expect(isZero(pair.beta.data.subarray(5 * EXTENT, 5 * EXTENT + 4096))).toBe(true);
});

test('zeros with FUA are durable on both sides when they are answered', async () => {
  const pair = await filled({ punches: BOTH });
  expect(await pair.alpha.zero(0, 2 * MIB, { fua: true })).toBeNull();
  for (const { disk, dataOffset } of [pair.alpha, pair.beta])
    expect(isZero(disk.durable.subarray(dataOffset, dataOffset + 2 * MIB))).toBe(true);
});

test('the bits of a punched range go with the next flush: a reconnect copies nothing', async () => {
  const pair = await filled({ punches: BOTH });
  await pair.alpha.zero(0, 2 * MIB);
  expect(await pair.alpha.flush()).toBeNull();
  pair.alpha.events.length = 0;
  pair.net.resetAll();
  await pair.clock.run(4000);
  expect(pair.alpha.kinds()).toContain('connected');
  expect(pair.alpha.kinds()).not.toContain('sync-started');
});

test('a disk that cannot punch after all gets zeros written', async () => {
  const pair = await filled({ punches: BOTH });
  for (const node of [pair.alpha, pair.beta]) node.disk.canPunch('EOPNOTSUPP');
  expect(await pair.alpha.zero(0, 2 * MIB)).toBeNull();
  await expectEqual(pair);
  expect(isZero(pair.alpha.data.subarray(0, 2 * MIB))).toBe(true);
});

test('a local failure while punching makes the peer’s copy the good one', async () => {
  const pair = await filled({ punches: BOTH });
  pair.alpha.disk.canPunch('EIO');
  expect(await pair.alpha.zero(0, 4096)).toBeNull();
  expect(isZero(await pair.alpha.read(0, 4096))).toBe(true);
  expect((await pair.alpha.snapshot()).record.inSync).toEqual(['beta']);
});

test('while the peer is away a discard changes nothing, so there is nothing to copy later', async () => {
  const pair = await filled({ punches: BOTH });
  await pair.alpha.flush();
  pair.net.refusing = true;
  pair.net.resetAll();
  await pair.clock.run(100);
  expect(await pair.alpha.discard(0, MIB)).toBeNull();
  expect(pair.alpha.data[0]).toBe(1);
  expect(pair.alpha.disk.punched).toBe(0);
});

test('a range that is no range is refused', async () => {
  const pair = await filled({ punches: BOTH });
  expect(await pair.alpha.zero(100, 512)).toBe('EINVAL');
  expect(await pair.alpha.zero(0, pair.alpha.disk.sizeBytes * 2)).toBe('EINVAL');
  expect(await pair.alpha.discard(0, 0)).toBe('EINVAL');
});

describe('a plain hastd as the peer', () => {
  async function besideHastd(): Promise<SimPair> {
    const pair = new SimPair(31, { peerKind: 'hastd', punches: BOTH, compression: 'none' });
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    await pair.clock.run(4000);
    expect(await pair.alpha.write(0, block(1, MIB))).toBeNull();
    return pair;
  }

  test('is never sent a DELETE, whose meaning its disk decides: it gets zeros written', async () => {
    const pair = await besideHastd();
    expect(await pair.alpha.zero(0, MIB)).toBeNull();
    await pair.clock.run(1000);
    expect((await pair.beta.snapshot()).counters.deletes).toBe(0);
    expect(pair.beta.disk.punched).toBe(0);
    await expectEqual(pair);
    expect(isZero(pair.beta.data.subarray(0, MIB))).toBe(true);
  });

  test('makes a discard a hint that is ignored', async () => {
    const pair = await besideHastd();
    expect(await pair.alpha.discard(0, MIB)).toBeNull();
    await expectEqual(pair);
    expect(pair.alpha.data[0]).toBe(1);
  });
});
