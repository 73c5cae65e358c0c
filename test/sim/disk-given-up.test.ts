/** A primary whose whole disk is dead, map and metadata too: the peer answers for it, and that disk never counts again. */
import { describe, expect, test } from 'vitest';
import { METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';
import { SimRandom } from '../../src/simulate/sim-clock.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';

const EXTENT = 65536;
const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

async function joined(options: SimOptions = {}, seed = 31): Promise<SimPair> {
  const pair = new SimPair(seed, options);
  await pair.join();
  expect(await pair.alpha.write(0, block(1))).toBeNull();
  expect(await pair.alpha.flush()).toBeNull();
  return pair;
}

function die({ disk }: SimNode): void {
  const dead = (): string => 'EIO';
  disk.faults = { write: dead, writeDurable: dead, flush: dead, read: dead };
}

function durableAt({ disk, dataOffset }: SimNode, offset: number): number | undefined {
  return disk.durable[dataOffset + offset];
}

/** What `submit` or a flush came to, without waiting. */
function watch(work: Promise<string | null>): { answer: string | null | undefined } {
  const state: { answer: string | null | undefined } = { answer: undefined };
  void work.then((answer) => (state.answer = answer));
  return state;
}

function flushing({ device }: SimNode): Promise<string | null> {
  return new Promise((resolve) => device?.flush(resolve));
}

/** Both lost power; alpha's disk works again, with its old map and metadata. */
async function bothReturn(pair: SimPair): Promise<void> {
  const { alpha, beta } = pair;
  alpha.disk.faults = {};
  const started = await alpha.start();
  expect([started.freshness.kind, started.dirtyBytes]).not.toContain('inSync');
  expect(started.dirtyBytes).toBe(started.datasize);
  const epoch = pair.nextEpoch();
  await expect(alpha.run({ type: 'prepare-primary', epoch, inSync: ['alpha'] })).rejects.toMatchObject({
    code: 'not-in-sync',
  });
  await beta.start();
  await pair.promote(beta, ['beta']);
  await alpha.run({ type: 'become-secondary' });
  await pair.untilInSync(alpha);
  expect(alpha.data.equals(beta.data)).toBe(true);
}

describe('a primary whose whole disk is dead', () => {
  test.each(['memsync', 'fullsync'] as const)(
    'goes on through its %s peer, cold extents and flushes too, and says so',
    async (replication) => {
      const { alpha, beta } = await joined({ replication });
      die(alpha);
      expect(await alpha.write(0, block(2))).toBeNull();
      expect(await alpha.flush()).toBeNull();
      for (let e = 10; e < 40; e++) expect(await alpha.write(e * EXTENT, block(e), e % 2 === 0)).toBeNull();
      expect(await alpha.zero(10 * EXTENT, EXTENT)).toBeNull();
      expect(await alpha.flush()).toBeNull();
      expect(await alpha.read(0, 4096)).toEqual(block(2));
      expect(await alpha.read(39 * EXTENT, 4096)).toEqual(block(39));
      expect([0, 10, 20].map((e) => durableAt(beta, e * EXTENT))).toEqual([2, 0, 20]);
      const told = await alpha.snapshot();
      expect(told).toMatchObject({ diskGivenUp: true, record: { state: 'inconsistent', inSync: ['beta'] } });
      expect(told.diskError).toContain('given up: every extent may differ; beta has everything');
      expect(told.sync).toBeNull();
      const errors = alpha.events.filter(({ level }) => level === 'error').map(({ message }) => message);
      expect(errors.filter((message) => message.includes('given up'))).toHaveLength(1);
      expect((await beta.snapshot()).record).toMatchObject({ state: 'clean', inSync: ['beta'] });
    },
  );

  test('acknowledges nothing that its peer could lose with its power', async () => {
    const { alpha, beta } = await joined();
    die(alpha);
    expect(await alpha.write(20 * EXTENT, block(3))).toBeNull();
    expect(await alpha.write(0, block(4))).toBeNull();
    beta.crash('power');
    expect([durableAt(beta, 20 * EXTENT), durableAt(beta, 0)]).toEqual([3, 4]);
  });

  test('asks nothing of it any more', async () => {
    const { alpha } = await joined();
    die(alpha);
    expect(await alpha.write(20 * EXTENT, block(3))).toBeNull();
    const asked: string[] = [];
    alpha.disk.onOperation = (kind) => asked.push(kind);
    expect(await alpha.write(0, block(4))).toBeNull();
    expect(await alpha.write(30 * EXTENT, block(4))).toBeNull();
    expect(await alpha.flush()).toBeNull();
    expect(await alpha.read(50 * EXTENT, 4096)).toEqual(block(0));
    expect(asked).toEqual([]);
  });

  test('does not take it back by itself when it can be written again', async () => {
    const pair = await joined();
    const { alpha, clock } = pair;
    die(alpha);
    expect(await alpha.write(20 * EXTENT, block(3))).toBeNull();
    alpha.disk.faults = {};
    pair.net.resetAll();
    await clock.run(10_000);
    expect(await alpha.snapshot()).toMatchObject({ diskGivenUp: true, dataLinkUp: true, sync: null });
    expect(await alpha.write(21 * EXTENT, block(4))).toBeNull();
    expect(await alpha.read(20 * EXTENT, 4096)).toEqual(block(3));
  });

  test('comes back after a power cut of both as one that has nothing, and gets everything from the other', async () => {
    const pair = await joined();
    const { alpha, beta } = pair;
    die(alpha);
    for (const e of [20, 40, 62]) expect(await alpha.write(e * EXTENT, block(e))).toBeNull();
    alpha.crash('power');
    beta.crash('power');
    await bothReturn(pair);
    for (const e of [20, 40, 62]) expect(await beta.read(e * EXTENT, 4096)).toEqual(block(e));
  });

  test('holds or fails what it is asked without its peer, and serves again when that is back', async () => {
    const { alpha, beta, clock } = await joined();
    die(alpha);
    expect(await alpha.write(20 * EXTENT, block(3))).toBeNull();
    beta.crash('power');
    const asked = [alpha.submit(0, block(9)), alpha.submit(30 * EXTENT, block(9)), flushing(alpha)].map(
      watch,
    );
    await clock.run(30_000);
    for (const { answer } of asked) expect([undefined, 'EIO']).toContain(answer);
    expect((await alpha.snapshot()).record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
    await beta.start();
    await beta.run({ type: 'become-secondary' });
    await clock.run(10_000);
    for (const { answer } of asked) expect(answer).toBe('EIO');
    expect(await alpha.read(20 * EXTENT, 4096)).toEqual(block(3));
    expect(await alpha.write(31 * EXTENT, block(5))).toBeNull();
    expect(await alpha.flush()).toBeNull();
    expect((await beta.snapshot()).freshness.kind).toBe('inSync');
  });

  test('serves nothing more when the peer lost its power before it had flushed', async () => {
    const { alpha, beta, clock } = await joined({ replication: 'fullsync' });
    expect(await alpha.write(0, block(7))).toBeNull();
    // Data can be written to it still, which counts for nothing once it is given up.
    alpha.disk.faults = { writeDurable: () => 'EIO' };
    beta.disk.onOperation = (kind) => {
      if (kind === 'flush') beta.crash('power');
    };
    const asked = [20 * EXTENT, 0].map((at) => watch(alpha.submit(at, block(9))));
    await clock.run(2000);
    beta.disk.onOperation = () => undefined;
    await beta.start();
    await beta.run({ type: 'become-secondary' });
    await clock.run(10_000);
    asked.push(watch(alpha.submit(21 * EXTENT, block(9))), watch(flushing(alpha)));
    await clock.run(30_000);
    for (const { answer } of asked) expect([undefined, 'EIO']).toContain(answer);
    expect(alpha.seen?.diskError).toContain('nothing is acknowledged any more');
  });

  /** Its disk dies, and the link breaks in the moment in which the peer would have flushed. */
  const cutWhileGivingUp = async (replication: 'fullsync' | 'memsync'): Promise<SimPair> => {
    const pair = await joined({ replication });
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(EXTENT, block(7))).toBeNull();
    die(alpha);
    let flushes = 0;
    beta.disk.onOperation = (kind) => {
      if (kind === 'flush' && flushes++ === 0) pair.net.resetAll();
    };
    const asked = watch(alpha.submit(20 * EXTENT, block(9)));
    await clock.run(5000);
    expect(asked.answer).toBe('EIO');
    return pair;
  };

  test('serves on when only its link broke before the peer had flushed', async () => {
    const { alpha, beta } = await cutWhileGivingUp('fullsync');
    expect(await alpha.write(20 * EXTENT, block(9))).toBeNull();
    expect(await alpha.flush()).toBeNull();
    for (const [extent, value] of [
      [1, 7],
      [20, 9],
    ] as const)
      expect(durableAt(beta, extent * EXTENT)).toBe(value);
    expect(alpha.seen?.diskError).toContain('beta has everything');
    const released = await alpha.run({ type: 'release', handover: true });
    expect(released.record).toMatchObject({ released: true, inSync: ['beta'] });
  });

  test('serves nothing then under memsync: what the peer had only received may have died with its engine', async () => {
    const { alpha, clock } = await cutWhileGivingUp('memsync');
    const again = watch(alpha.submit(20 * EXTENT, block(9)));
    await clock.run(5000);
    expect([undefined, 'EIO']).toContain(again.answer);
    expect(alpha.seen?.diskError).toContain('nothing is acknowledged any more');
  });

  test('serves nothing through a peer that lost its power and came back while that was being recorded', async () => {
    const pair = await joined();
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(EXTENT, block(7))).toBeNull();
    await alpha.flush();
    expect(await alpha.write(0, block(7))).toBeNull();
    // The map can still be written, as what a new link needs.
    const isBlock = (offset: number): boolean => offset < METADATA_BYTES;
    alpha.disk.faults = { write: () => 'EIO', writeDurable: (offset) => (isBlock(offset) ? 'EIO' : null) };
    alpha.sidecarMs = 600;
    void alpha.submit(EXTENT, block(9));
    // The first of two words is written, the second is being written.
    await clock.run(700);
    // Told at once, as by the peer's kernel when it is back.
    beta.crash('process');
    beta.disk.powerCut();
    await clock.run(20);
    await beta.start();
    await beta.run({ type: 'become-secondary' });
    await clock.run(4000);
    pair.net.resetAll();
    await clock.run(4000);
    expect(await alpha.snapshot()).toMatchObject({ diskGivenUp: true, record: { inSync: ['beta'] } });
    const asked = [alpha.submit(21 * EXTENT, block(9)), flushing(alpha)].map(watch);
    await clock.run(30_000);
    for (const { answer } of asked) expect([undefined, 'EIO']).toContain(answer);
    expect((await beta.snapshot()).record.state).toBe('clean');
  });

  /** Its disk dies, and its link breaks while that is being recorded; `meanwhile` happens to the peer. */
  const cutWhileRecording = async (meanwhile: (beta: SimNode) => unknown): Promise<SimPair> => {
    const pair = await joined({ replication: 'fullsync' });
    const { alpha, beta, clock } = pair;
    expect(await alpha.write(EXTENT, block(7))).toBeNull();
    alpha.sidecarMs = 100;
    die(alpha);
    const asked = watch(alpha.submit(20 * EXTENT, block(9)));
    await clock.run(50);
    await meanwhile(beta);
    pair.net.resetAll();
    if (!beta.up) await beta.start();
    await beta.run({ type: 'become-secondary' });
    await clock.run(5000);
    expect(asked.answer).toBe('EIO');
    return pair;
  };

  test('serves on through a peer that was restarted in order meanwhile: its map says that it has flushed everything', async () => {
    const { alpha, beta } = await cutWhileRecording(async (peer) => {
      await peer.run({ type: 'stop' });
      peer.crash('process');
    });
    expect(await alpha.write(20 * EXTENT, block(9))).toBeNull();
    expect([durableAt(beta, EXTENT), durableAt(beta, 20 * EXTENT)]).toEqual([7, 9]);
  });

  test.each([
    [
      'failed to flush once, though it succeeds now',
      ({ disk }: SimNode): void => {
        disk.faults.flush = () => {
          disk.faults = {};
          return 'EIO';
        };
      },
    ],
    ['died before it had flushed, though its kernel did not', (beta: SimNode): void => beta.crash('process')],
  ])('serves nothing more when its peer meanwhile %s', async (_, meanwhile) => {
    const { alpha, beta, clock } = await cutWhileRecording(meanwhile);
    const asked = [watch(alpha.submit(20 * EXTENT, block(9))), watch(flushing(alpha))];
    await clock.run(5000);
    for (const { answer } of asked) expect([undefined, 'EIO']).toContain(answer);
    expect(alpha.seen?.diskError).toContain('nothing is acknowledged any more');
    expect((await beta.snapshot()).record.state).toBe('clean');
  });

  test('hands over, and the other one does not call that disk in sync', async () => {
    const pair = await joined();
    const { alpha, beta } = pair;
    die(alpha);
    expect(await alpha.write(20 * EXTENT, block(3))).toBeNull();
    const asked: string[] = [];
    alpha.disk.onOperation = (kind) => asked.push(kind);
    const released = await alpha.run({ type: 'release', handover: true });
    expect(asked).toEqual([]);
    expect(released.record).toMatchObject({ released: true, inSync: ['beta'] });
    await pair.promote(beta, ['alpha', 'beta']);
    const { record } = await beta.snapshot();
    expect(record.inSync).toEqual(['beta']);
    expect(record.generations.previous).toBe(released.record.generations.current);
    for (const command of [
      { type: 'become-secondary' },
      { type: 'prepare-primary', epoch: pair.nextEpoch(), inSync: ['alpha'], forced: true },
    ] as const)
      await expect(alpha.run(command)).rejects.toMatchObject({ code: 'disk-given-up' });
    alpha.crash('process');
    alpha.disk.faults = {};
    await alpha.start();
    await alpha.run({ type: 'become-secondary' });
    await pair.untilInSync(alpha);
    expect(alpha.data.equals(beta.data)).toBe(true);
    expect((await alpha.snapshot()).record.inSync).toEqual(['alpha', 'beta']);
    expect((await alpha.run({ type: 'snapshot' })).diskGivenUp).toBe(false);
  });
});

describe('a dead disk is not given up, and writes to cold extents fail,', () => {
  const failsCold = async (pair: SimPair): Promise<void> => {
    die(pair.alpha);
    expect(await pair.alpha.write(20 * EXTENT, block(3))).toBe('EIO');
    expect(await pair.alpha.snapshot()).toMatchObject({ diskGivenUp: false });
  };

  test('when the peer is asynchronous', async () => {
    await failsCold(await joined({ replication: 'async' }));
  });

  test('when the peer has just gone and may still take over', async () => {
    const { alpha, beta, clock } = await joined();
    beta.crash('process');
    await clock.run(5);
    die(alpha);
    const asked = watch(alpha.submit(20 * EXTENT, block(3)));
    await clock.run(10_000);
    expect([undefined, 'EIO']).toContain(asked.answer);
    expect(await alpha.snapshot()).toMatchObject({ diskGivenUp: false });
  });

  test('when the peer is away', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    expect(await pair.alpha.write(0, block(2))).toBeNull();
    await failsCold(pair);
    expect(await pair.alpha.flush()).toBe('EIO');
  });

  test('while the peer is being resynced', async () => {
    const pair = await joined({ resyncRate: 65_536 });
    pair.beta.crash('power');
    for (let e = 0; e < 10; e++) expect(await pair.alpha.write(e * EXTENT, block(2))).toBeNull();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.clock.run(5000, () => pair.alpha.seen?.sync != null);
    await failsCold(pair);
  });

  test('when the state directory cannot be written either', async () => {
    const pair = await joined();
    pair.alpha.sidecarFault = 'the state directory is full';
    await failsCold(pair);
    pair.alpha.sidecarFault = null;
    expect(await pair.alpha.write(20 * EXTENT, block(4))).toBeNull();
  });
});

test.each(Array.from({ length: 25 }, (_, seed) => [seed + 1]))(
  'loses nothing acknowledged when a disk dies under load and both lose power, seed %i',
  async (seed) => {
    const pair = await joined({ replication: seed % 2 === 0 ? 'memsync' : 'fullsync' }, seed);
    const { alpha, beta, clock } = pair;
    const random = new SimRandom(seed);
    const pick = (below: number): number => Math.floor(random.next() * below);
    const acknowledged = new Map<number, number>();
    let stamp = 1;
    const load = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const extent = pick(63);
        const mine = (stamp = (stamp % 250) + 1);
        const at = extent * EXTENT + pick(16) * 4096;
        if (acknowledged.has(at)) continue;
        acknowledged.set(at, -mine);
        void alpha.submit(at, block(mine), random.chance(0.2)).then((error) => {
          if (error === null) acknowledged.set(at, mine);
        });
      }
    };
    load(20);
    await clock.run(random.next() * 3);
    die(alpha);
    load(40);
    await clock.run(random.next() * 20);
    if (random.chance(0.5)) load(20);
    await clock.run(2000, () => alpha.seen?.diskError?.includes('given up') === true);
    const counted = (): number => [...acknowledged.values()].filter((byte) => byte > 0).length;
    await clock.run(2000, () => counted() > 10);
    await clock.run(random.next() * 5);
    const served = alpha.seen?.diskError?.includes('has everything') === true;
    const known = [...acknowledged].filter(([, byte]) => byte > 0);
    for (const node of random.chance(0.5) ? [alpha, beta] : [beta, alpha]) node.crash('power');
    await bothReturn(pair);
    expect(served).toBe(true);
    expect(known.length).toBeGreaterThan(10);
    for (const [at, byte] of known) expect([at, (await beta.read(at, 4096))[0]]).toEqual([at, byte]);
  },
);
