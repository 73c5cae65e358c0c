/** The safety rules one by one, each with the sequence of events that breaks it. */
import { describe, expect, test } from 'vitest';
import { DEFAULT_TIMING } from '../../src/model/timing.ts';
import { METADATA_BYTES, mapBit } from '../../src/protocol/hast-metadata.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';

const { leaseMs: L, holdMs: H, promotionDelayMs: D } = DEFAULT_TIMING;
const EXTENT = 65536;

async function joined(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(11, options);
  await pair.join();
  return pair;
}

/** The bit as it would be found after a power cut now. */
const bitOnDisk = (node: SimNode, extent: number): boolean =>
  mapBit(node.disk.durable.subarray(METADATA_BYTES), extent);

const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);

/** Watches a promise from outside. */
function watch(work: Promise<string | null>): { done: boolean; result: string | null } {
  const state = { done: false, result: null as string | null };
  void work.then((result) => Object.assign(state, { done: true, result }));
  return state;
}

describe('A1', () => {
  test('neither a send nor a local write starts before the bits of its extents are durable', async () => {
    const pair = await joined({ keepdirty: 1, replication: 'fullsync' });
    const seen: string[] = [];
    pair.alpha.disk.onOperation = (kind, offset) => {
      if (kind === 'write') {
        const extent = Math.floor((offset - pair.alpha.dataOffset) / EXTENT);
        seen.push(`write ${extent} ${bitOnDisk(pair.alpha, extent)}`);
      }
    };
    pair.beta.disk.onOperation = (kind, offset) => {
      if (kind !== 'write') return;
      const extent = Math.floor((offset - pair.beta.dataOffset) / EXTENT);
      seen.push(`peer ${extent} ${bitOnDisk(pair.alpha, extent)} ${bitOnDisk(pair.beta, extent)}`);
    };
    for (let i = 0; i < 6; i++) await pair.alpha.write(i * EXTENT, block(i));
    expect(seen).toHaveLength(12);
    expect(seen.filter((line) => line.includes('false'))).toEqual([]);
  });

  test('a map that cannot be written, nor what could stand for it, fails the write, which reaches no disk', async () => {
    const pair = await joined();
    pair.alpha.sidecarFault = 'the state directory is full';
    pair.alpha.disk.faults.writeDurable = (offset) => (offset >= METADATA_BYTES ? 'EIO' : null);
    expect(await pair.alpha.write(20 * EXTENT, block(1))).toBe('EIO');
    expect(pair.beta.data[20 * EXTENT]).toBe(0);
    expect(pair.alpha.data[20 * EXTENT]).toBe(0);
  });
});

describe('A2', () => {
  test('a flush is answered only when the peer has flushed what was written before it', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(5));
    expect(await pair.alpha.flush()).toBeNull();
    const at = pair.beta.dataOffset;
    expect(pair.beta.disk.durable.subarray(at, at + 4096)).toEqual(block(5));
    expect(pair.alpha.disk.durable.subarray(at, at + 4096)).toEqual(block(5));
  });

  test('a flush covers every write that was answered before it was asked, whoever wrote, through two power cuts', async () => {
    const pair = await joined({ replication: 'memsync' });
    const device = pair.alpha.device;
    const answered = new Set<number>();
    const covered: Set<number>[] = [];
    let flushed = 0;
    for (let i = 0; i < 40; i++) {
      device?.write(i * 4096, block(i + 1), false, () => answered.add(i));
      await pair.clock.run(pair.random.next() * 2);
      if (i % 5 !== 4) continue;
      const before = new Set(answered);
      device?.flush((error) => {
        if (error === null) flushed++;
        covered.push(before);
      });
    }
    await pair.clock.run(5000, () => flushed === 8);
    pair.alpha.crash('power');
    pair.beta.crash('power');
    expect(flushed).toBe(8);
    expect(covered.at(-1)?.size).toBeGreaterThan(30);
    for (const i of covered.at(-1) ?? [])
      for (const node of [pair.alpha, pair.beta])
        expect(node.data.subarray(i * 4096, (i + 1) * 4096).equals(block(i + 1))).toBe(true);
  });

  test('a write with FUA is durable on both sides when it is answered', async () => {
    const pair = await joined();
    expect(await pair.alpha.write(8192, block(6), true)).toBeNull();
    for (const node of [pair.alpha, pair.beta])
      expect(node.disk.durable.subarray(node.dataOffset + 8192, node.dataOffset + 8192 + 4096)).toEqual(
        block(6),
      );
  });

  test.each([
    ['fullsync', true],
    ['memsync', false],
  ] as const)('%s waits for the peer’s disk: %s', async (replication, waits) => {
    const pair = await joined({ replication });
    pair.beta.disk.latencyMs = 100;
    const state = watch(pair.alpha.submit(0, block(1)));
    await pair.clock.run(20);
    expect(state.done).toBe(!waits);
  });

  test('async does not wait for the peer while the lease holds', async () => {
    const pair = await joined({ replication: 'async' });
    pair.net.silent = true;
    const early = watch(pair.alpha.submit(0, block(1)));
    await pair.clock.run(20);
    expect(early.done).toBe(true);
    await pair.clock.run(L);
    const late = watch(pair.alpha.submit(4096, block(2)));
    await pair.clock.run(20);
    expect(late.done).toBe(false);
  });
});

describe('A3', () => {
  test('without the peer’s word a write waits for H, and the record says it goes on alone before the answer', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    const heard = pair.alpha.lease.at;
    const state = watch(pair.alpha.submit(0, block(1)));
    await pair.clock.run(heard + H - pair.clock.now() - 1);
    expect(state.done).toBe(false);
    const alone = (): boolean => pair.alpha.seen?.record.inSync.join() === 'alpha';
    await pair.clock.run(2000, () => state.done);
    expect([state.result, alone()]).toEqual([null, true]);
    // And it is on disk: after a power cut this node knows that it was alone.
    pair.alpha.crash('power');
    expect((await pair.alpha.start()).record).toMatchObject({ inSync: ['alpha'], primary: 'alpha' });
    expect((await pair.alpha.snapshot()).freshness).toEqual({ kind: 'inSync' });
  });

  test('the peer’s durable word lets the write go earlier, and the peer is out', async () => {
    const pair = await joined();
    pair.net.refusing = true;
    pair.net.resetAll();
    const before = pair.clock.now();
    expect(await pair.alpha.write(0, block(1))).toBeNull();
    expect(pair.clock.now() - before).toBeLessThan(H);
    expect(pair.alpha.kinds()).toContain('want-outdate');
    expect((await pair.beta.snapshot()).record.state).toBe('outdated');
    expect((await pair.beta.snapshot()).freshness).toEqual({ kind: 'outdated' });
  });

  test('an earlier word of the peer does not count after it joined again', async () => {
    const pair = await joined();
    pair.net.refusing = true;
    pair.net.resetAll();
    await pair.alpha.write(0, block(1));
    pair.net.refusing = false;
    await pair.untilInSync(pair.beta);
    pair.peerChannel = false;
    pair.net.refusing = true;
    pair.net.resetAll();
    const state = watch(pair.alpha.submit(0, block(2)));
    await pair.clock.run(H - 200);
    expect(state.done).toBe(false);
    expect((await pair.alpha.snapshot()).record.inSync).toEqual(['alpha', 'beta']);
  });

  test('a promotion without the peer answers nothing until H after the peer was heard', async () => {
    const pair = await joined();
    pair.alpha.crash('power');
    await pair.clock.run(D);
    pair.beta.lease.heard(pair.clock.now());
    await pair.promote(pair.beta, ['beta']);
    const state = watch(pair.beta.submit(0, block(3)));
    await pair.clock.run(H - 50);
    expect(state.done).toBe(false);
    await pair.clock.run(100);
    expect(state).toEqual({ done: true, result: null });
  });
});

describe('A4', () => {
  test('a primary that is cut off answers neither reads nor writes after the lease, until it may go on alone', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    pair.net.silent = true;
    await pair.clock.run(L + 60);
    let read = false;
    pair.alpha.device?.read(0, 4096, () => (read = true));
    const write = watch(pair.alpha.submit(4096, block(2)));
    await pair.clock.run(D - L - 60);
    expect([read, write.done]).toEqual([false, false]);
    expect(pair.alpha.kinds().filter((kind) => kind === 'held')).toHaveLength(1);
    await pair.clock.run(H);
    expect([read, write.done]).toEqual([true, true]);
    expect(pair.alpha.kinds()).toContain('resumed');
  });

  test('a short deafness holds, and goes on with the peer without a new history', async () => {
    const pair = await joined();
    pair.peerChannel = false;
    pair.net.latencyMs = 250;
    await pair.clock.run(600);
    pair.net.latencyMs = 0.2;
    await pair.clock.run(600);
    expect(await pair.alpha.write(0, block(1))).toBeNull();
    expect((await pair.alpha.snapshot()).record.inSync).toEqual(['alpha', 'beta']);
  });
});

describe('A5', () => {
  test('a higher epoch of the peer on any path freezes I/O at once', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    await pair.alpha.run({ type: 'peer-epoch', epoch: { number: 9, id: 'ab'.repeat(8) } });
    const write = watch(pair.alpha.submit(0, block(2)));
    let read = false;
    pair.alpha.device?.read(0, 4096, () => (read = true));
    await pair.clock.run(5000);
    expect([write.done, read]).toEqual([false, false]);
    expect(pair.alpha.kinds()).toContain('frozen');
    expect((await pair.alpha.snapshot()).held).toContain('epoch 9');
  });

  test('so does the number in shared memory', async () => {
    const pair = await joined();
    pair.peerChannel = false;
    pair.alpha.lease.epoch = 5;
    const write = watch(pair.alpha.submit(0, block(2)));
    await pair.clock.run(100);
    expect(write.done).toBe(false);
    expect(pair.alpha.kinds()).toContain('frozen');
  });

  test('a primary of an older epoch is refused by its secondary and freezes', async () => {
    const pair = await joined();
    pair.peerChannel = false;
    pair.net.silent = true;
    await pair.clock.run(D + 20);
    await pair.promote(pair.beta, ['beta']);
    // Its promotion was withdrawn; it is secondary again, in the higher epoch.
    await pair.beta.run({ type: 'release', handover: false });
    await pair.beta.run({ type: 'become-secondary' });
    const held = watch(pair.alpha.submit(0, block(9)));
    pair.net.silent = false;
    pair.net.resetAll();
    await pair.clock.run(60);
    pair.alpha.lease.heard(pair.clock.now());
    await pair.clock.run(400);
    expect(pair.alpha.kinds()).toContain('frozen');
    expect(held.done).toBe(false);
    expect(pair.beta.data[0]).toBe(0);
  });
});

describe('A6', () => {
  test('the primary’s bit stays until the peer has flushed', async () => {
    const pair = await joined({ keepdirty: 1 });
    let flushes = 0;
    pair.beta.disk.onOperation = (kind) => {
      if (kind === 'flush') flushes++;
    };
    await pair.alpha.write(3 * EXTENT, block(1));
    await pair.alpha.write(9 * EXTENT, block(1));
    await pair.clock.run(500);
    expect([flushes, bitOnDisk(pair.alpha, 3)]).toEqual([0, true]);
    await pair.alpha.flush();
    await pair.clock.run(50);
    expect([flushes, bitOnDisk(pair.alpha, 3)]).toEqual([1, false]);
  });

  test('what the peer had not flushed when the link died counts as different', async () => {
    const pair = await joined();
    await pair.alpha.write(3 * EXTENT, block(1));
    await pair.clock.run(20);
    expect((await pair.alpha.snapshot()).dirtyBytes).toBe(0);
    pair.net.refusing = true;
    pair.net.resetAll();
    await pair.clock.run(20);
    expect((await pair.alpha.snapshot()).dirtyBytes).toBe(EXTENT);
  });

  test('it clears by itself after a while without applications’ flushes', async () => {
    const pair = await joined({ keepdirty: 1 });
    await pair.alpha.write(3 * EXTENT, block(1));
    await pair.alpha.write(9 * EXTENT, block(1));
    await pair.clock.run(3000);
    expect([bitOnDisk(pair.alpha, 3), bitOnDisk(pair.beta, 3)]).toEqual([false, false]);
  });

  test('it stays when the peer’s flush fails, and the extent is copied again', async () => {
    const pair = await joined({ keepdirty: 1 });
    await pair.alpha.write(3 * EXTENT, block(7));
    await pair.alpha.write(9 * EXTENT, block(7));
    pair.beta.disk.faults.flush = () => 'EIO';
    const flush = watch(new Promise((resolve) => pair.alpha.device?.flush(resolve)));
    await pair.clock.run(20);
    expect(flush.done).toBe(false);
    expect(bitOnDisk(pair.alpha, 3)).toBe(true);
    expect((await pair.beta.snapshot()).freshness.kind).not.toBe('inSync');
    pair.beta.disk.faults = {};
    await pair.untilInSync(pair.beta);
    expect(flush).toEqual({ done: true, result: null });
    expect(pair.alpha.kinds()).toContain('sync-done');
  });

  test('the secondary’s own bits survive its power cut and tell the next primary what it lost', async () => {
    const pair = await joined({ keepdirty: 1, replication: 'fullsync' });
    await pair.alpha.write(3 * EXTENT, block(7));
    await pair.alpha.write(9 * EXTENT, block(7));
    expect([bitOnDisk(pair.beta, 3), bitOnDisk(pair.beta, 9)]).toEqual([true, true]);
  });

  test('a failed local flush of the primary is never turned into success by a retry', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    await pair.clock.run(H + 100);
    expect(await pair.alpha.write(0, block(1))).toBeNull();
    pair.alpha.disk.faults.flush = () => 'EIO';
    expect(await pair.alpha.flush()).toBe('EIO');
    pair.alpha.disk.faults = {};
    expect(await pair.alpha.flush()).toBe('EIO');
    expect((await pair.alpha.snapshot()).diskError).toContain('flush');
  });
});

describe('A7', () => {
  test.each(['memsync', 'fullsync', 'async'] as const)(
    'a %s write that was sent but not answered when the link died is dirty and copied again',
    async (replication) => {
      const pair = await joined({ replication });
      await pair.alpha.flush();
      pair.net.silent = true;
      const state = watch(pair.alpha.submit(5 * EXTENT, block(8)));
      await pair.clock.run(10);
      pair.net.resetAll();
      pair.net.silent = false;
      await pair.clock.run(5);
      await pair.untilInSync(pair.beta);
      expect(state).toEqual({ done: true, result: null });
      expect(pair.beta.data.subarray(5 * EXTENT, 5 * EXTENT + 4096)).toEqual(block(8));
    },
  );

  test('a write that the peer answered with an error is copied again', async () => {
    const pair = await joined({ replication: 'fullsync' });
    pair.beta.disk.faults.write = () => 'EIO';
    const state = watch(pair.alpha.submit(5 * EXTENT, block(8)));
    await pair.clock.run(20);
    expect(state.done).toBe(false);
    pair.beta.disk.faults = {};
    await pair.untilInSync(pair.beta);
    expect(state).toEqual({ done: true, result: null });
    expect(pair.beta.data.subarray(5 * EXTENT, 5 * EXTENT + 4096)).toEqual(block(8));
  });

  test('an error during a resync leaves the extent dirty and the sync unfinished', async () => {
    const pair = await joined();
    pair.beta.crash('process');
    await pair.alpha.write(5 * EXTENT, block(8));
    pair.beta.disk.faults.write = () => 'EIO';
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.clock.run(3000);
    expect((await pair.alpha.snapshot()).dirtyBytes).toBeGreaterThan(0);
    expect((await pair.alpha.snapshot()).record.inSync).toEqual(['alpha']);
    expect((await pair.beta.snapshot()).freshness.kind).toBe('inconsistent');
    pair.beta.disk.faults = {};
    await pair.untilInSync(pair.beta);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });
});
