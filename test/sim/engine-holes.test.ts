/** Where a primary says that there are holes: never where something is that it acknowledged. */
import { describe, expect, test } from 'vitest';
import type { Allocation } from '../../src/model/block-device.ts';
import { DEFAULT_TIMING } from '../../src/model/timing.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';

const EXTENT = 65536;
const BLOCK = 4096;
const SEEDS = Number(process.env['SIM_SEEDS'] ?? 8);
const FROM = Number(process.env['SIM_FROM'] ?? 1);
const block = (byte: number, length = BLOCK): Buffer => Buffer.alloc(length, byte);

async function joined(options: SimOptions & { readonly behind?: boolean } = {}): Promise<SimPair> {
  const pair = new SimPair(41, { replication: 'fullsync', ...options });
  for (const node of [pair.alpha, pair.beta]) node.disk.tellHoles(options.behind);
  await pair.join();
  await pair.alpha.flush();
  return pair;
}

type Told = { readonly error: string | null; readonly pieces: readonly Allocation[] };

function asked(node: SimNode, offset: number, length: number, most = 128): Promise<Told> {
  return new Promise((resolve) =>
    node.device?.allocation?.(offset, length, most, (error, pieces) => resolve({ error, pieces })),
  );
}

/** Lengths, those of holes below zero; or an error. */
async function holes(
  pair: SimPair,
  offset: number,
  length: number,
  most = 128,
): Promise<readonly number[] | string> {
  const { error, pieces } = await pair.clock.finish(asked(pair.alpha, offset, length, most));
  return error ?? pieces.map((piece) => (piece.hole ? -piece.length : piece.length));
}

describe('holes', () => {
  test('are told where both disks have the same, flushed', async () => {
    const pair = await joined();
    expect(await pair.alpha.write(EXTENT, block(1))).toBeNull();
    expect(await holes(pair, 0, 3 * EXTENT)).toEqual([-EXTENT, EXTENT, -EXTENT]);
    await pair.alpha.flush();
    expect(await holes(pair, 0, 3 * EXTENT)).toEqual([-EXTENT, BLOCK, -(2 * EXTENT - BLOCK)]);
    expect(await holes(pair, 512, EXTENT, 1)).toEqual([-(EXTENT - 512)]);
  });

  test('of a disk without another node are those of the disk, though all that was written is dirty', async () => {
    const pair = new SimPair(41, { single: true });
    pair.alpha.disk.tellHoles();
    await pair.alpha.start();
    await pair.promote(pair.alpha, ['alpha']);
    expect(await pair.alpha.write(EXTENT, block(1))).toBeNull();
    expect(await pair.alpha.flush()).toBeNull();
    expect(await holes(pair, 0, 3 * EXTENT)).toEqual([-EXTENT, BLOCK, -(2 * EXTENT - BLOCK)]);
  });

  test('are not known where the disk cannot tell', async () => {
    const pair = new SimPair(41);
    await pair.join();
    expect(pair.alpha.device?.allocation).toBeUndefined();
  });

  test('are none in a stale extent, whose data only the peer has', async () => {
    const pair = await joined();
    pair.alpha.disk.faults.write = (offset) => (offset === pair.alpha.dataOffset + 2 * EXTENT ? 'EIO' : null);
    // What resync would repair fails again.
    expect(await pair.alpha.write(2 * EXTENT, block(7))).toBeNull();
    expect(pair.alpha.data[2 * EXTENT]).toBe(0);
    expect(await pair.alpha.read(2 * EXTENT, BLOCK)).toEqual(block(7));
    expect(await holes(pair, 2 * EXTENT, EXTENT)).toEqual([EXTENT]);
    // Nor is a disk believed that has failed.
    expect(await holes(pair, 8 * EXTENT, EXTENT)).toEqual([EXTENT]);
  });

  test('are none in an extent that the peer lacks', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    expect(await pair.alpha.write(EXTENT, block(1))).toBeNull();
    await pair.alpha.flush();
    expect(await holes(pair, 0, 3 * EXTENT)).toEqual([-EXTENT, EXTENT, -EXTENT]);
  });

  test.each([
    ['fails', 'EIO', []],
    ['says nothing', null, []],
  ] as const)('are none anywhere when the disk %s', async (_name, error, pieces) => {
    const pair = new SimPair(41);
    pair.alpha.disk.holes = (_offset, _length, _most, done) => done(error, pieces);
    await pair.join();
    await pair.alpha.flush();
    expect(await holes(pair, 0, 3 * EXTENT)).toEqual([3 * EXTENT]);
  });

  test('are none where something was written while the disk was asked', async () => {
    const pair = await joined();
    pair.alpha.disk.latencyMs = 2;
    const answer = asked(pair.alpha, 0, 3 * EXTENT);
    const written = pair.alpha.submit(EXTENT, block(1));
    const { pieces } = await pair.clock.finish(answer);
    expect(pieces.map(({ length, hole }) => (hole ? -length : length))).toEqual([-EXTENT, EXTENT, -EXTENT]);
    expect(await pair.clock.finish(written)).toBeNull();
  });

  test('A4: are told by nobody who may have been replaced', async () => {
    const pair = await joined();
    pair.net.silent = true;
    await pair.clock.run(DEFAULT_TIMING.leaseMs + 1);
    const state = { told: false };
    void asked(pair.alpha, 0, EXTENT).then(() => (state.told = true));
    await pair.clock.run(50);
    expect(state.told).toBe(false);
  });

  test('of no range, and of a primary that is none any more, are refused', async () => {
    const pair = await joined();
    const device = pair.alpha.device;
    expect(await holes(pair, 100, 512)).toBe('EINVAL');
    expect(await holes(pair, 0, pair.alpha.disk.sizeBytes * 2)).toBe('EINVAL');
    await pair.alpha.run({ type: 'release', handover: true });
    const error = await new Promise((resolve) => device?.allocation?.(0, EXTENT, 8, resolve));
    expect(error).toBe('ESHUTDOWN');
  });

  test('are looked for with a bounded number of questions to the disk', async () => {
    const pair = await joined({ sizeBytes: 16 * 1024 * 1024 });
    let questions = 0;
    pair.alpha.disk.onOperation = (kind) => {
      if (kind === 'holes') questions += 1;
    };
    const rows = 100;
    for (let e = 0; e < rows; e++) expect(await pair.alpha.write(e * EXTENT, block(1, EXTENT))).toBeNull();
    await pair.alpha.flush();
    for (let e = 0; e < rows; e += 2) expect(await pair.alpha.write(e * EXTENT, block(2))).toBeNull();
    expect(await holes(pair, 0, rows * EXTENT)).toEqual([64 * EXTENT]);
    expect(questions).toBe(32);
  });

  test.each(['behind', 'exact'] as const)(
    'of a disk that is %s never hide what was acknowledged before the question, whatever fails',
    { timeout: 60_000 },
    async (disk) => {
      for (let seed = FROM; seed < FROM + SEEDS; seed++) await randomly(seed, disk === 'behind');
    },
  );
});

/** Writes, questions and faults by a seed. */
async function randomly(seed: number, behind: boolean): Promise<void> {
  const pair = new SimPair(seed, { replication: 'memsync' });
  const { alpha, beta, random, clock } = pair;
  for (const node of [alpha, beta]) node.disk.tellHoles(behind);
  await pair.join();
  await alpha.flush();
  const blocks = (24 * EXTENT) / BLOCK;
  const written = new Set<number>();
  const wrong: string[] = [];
  let answers = 0;
  let told = 0;
  const write = (): void => {
    const at = random.below(blocks);
    alpha.device?.write(at * BLOCK, block(1 + random.below(255)), random.chance(0.1), (error) => {
      if (error === null) written.add(at);
    });
  };
  const ask = (): void => {
    const before = [...written];
    const first = random.below(blocks);
    const length = BLOCK * (1 + random.below(blocks - first));
    alpha.device?.allocation?.(first * BLOCK, length, 1 + random.below(16), (error, pieces) => {
      if (error !== null) return;
      answers += 1;
      let at = first * BLOCK;
      for (const piece of pieces) {
        if (piece.hole) {
          told += 1;
          const hidden = before.filter((each) => each * BLOCK >= at && each * BLOCK < at + piece.length);
          if (hidden.length > 0) wrong.push(`seed ${seed}: a hole where block ${hidden.join()} is`);
        }
        at += piece.length;
      }
    });
  };
  const faults = [
    () => pair.net.resetAll(),
    () =>
      (alpha.disk.faults.write = (offset) =>
        offset > alpha.dataOffset && random.chance(0.2) ? 'EIO' : null),
    () => (alpha.disk.faults.flush = () => 'EIO'),
    () => (alpha.disk.faults = {}),
    () => (beta.disk.latencyMs = 0.3 + random.next() * 20),
  ];
  for (let round = 0; round < 60; round++) {
    for (let i = random.below(6); i > 0; i--) write();
    for (let i = random.below(3); i > 0; i--) ask();
    if (random.chance(0.2)) alpha.device?.flush(() => undefined);
    await clock.run(random.next() * 40);
    if (round > 25 && random.chance(0.15)) faults[random.below(faults.length)]?.();
  }
  alpha.disk.faults = {};
  await clock.run(5000);
  expect(wrong).toEqual([]);
  // What was asked is worth something.
  expect(answers).toBeGreaterThan(20);
  expect(told).toBeGreaterThan(0);
}
