/** A verification compares both disks while applications go on, tells what differs, and repairs it on demand. */
import { describe, expect, test } from 'vitest';
import type { VerifyProgress } from '../../src/protocol/control.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';

const SIZE = 8 * 1024 * 1024;
const EXTENT = 256 * 1024;
const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

async function joined(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(9, { sizeBytes: SIZE, extentsize: EXTENT, ...options });
  if (options.peerKind === 'hastd') {
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    await pair.clock.run(4000);
  } else await pair.join();
  for (let at = 0; at + EXTENT < pair.alpha.data.length; at += EXTENT)
    await pair.alpha.write(at, pair.random.bytes(65536));
  await pair.clock.run(3000);
  return pair;
}

/** Behind everybody's back. */
function flip(pair: SimPair, offset: number): void {
  const { data } = pair.beta;
  data[offset] = (data[offset] ?? 0) ^ 1;
}

function start(pair: SimPair, repair: boolean, rate: number | null = null): Promise<unknown> {
  return pair.alpha.run({ type: 'verify', action: 'start', rate, repair });
}

async function ended(pair: SimPair): Promise<VerifyProgress> {
  await pair.clock.run(120_000, () => pair.alpha.seen?.verify?.state !== 'running');
  const { verify } = await pair.alpha.snapshot();
  if (verify === null) throw new Error('nothing was verified');
  return verify;
}

const beside = [
  ['a hastate node', {}],
  ['a plain hastd', { peerKind: 'hastd' }],
] as const;

describe('a verification', () => {
  test.each(beside)('beside %s finds equal disks equal, to the last byte', async (_, options) => {
    const pair = await joined(options);
    await start(pair, false);
    const { datasize } = await pair.alpha.snapshot();
    expect(await ended(pair)).toMatchObject({
      ...{ state: 'done', differences: 0, unreadBytes: 0, totalBytes: datasize, doneBytes: datasize },
      ...{ ranges: [], remainingMs: null },
    });
    expect(pair.alpha.kinds()).toContain('verify-done');
  });

  test.each(beside)(
    'beside %s misses no flipped bit, tells where each is, and changes nothing',
    async (_, options) => {
      const pair = await joined(options);
      const { datasize } = await pair.alpha.snapshot();
      const places = [0, 4096 * 3 + 17, EXTENT - 1, EXTENT, 5 * EXTENT + 70_000, datasize - 1];
      for (const place of places) flip(pair, place);
      const before = Buffer.from(pair.beta.data);
      await start(pair, false);
      const found = await ended(pair);
      const sectors = places.map((place) => Math.floor(place / 512) * 512);
      expect(found.differences).toBe(6);
      expect(found.differingBytes).toBe(6 * 512);
      expect(found.repairedBytes).toBe(0);
      const told = found.ranges.flatMap(({ offset, length }) =>
        Array.from({ length: length / 512 }, (__, i) => offset + i * 512),
      );
      expect(told.sort((a, b) => a - b)).toEqual(sectors);
      expect(pair.beta.data.equals(before)).toBe(true);
      expect((await pair.alpha.snapshot()).dirtyBytes).toBe(0);
      const events = pair.alpha.events.filter(({ kind }) => kind === 'verify-difference');
      expect(events.map(({ data }) => data?.['offset'])).toEqual(found.ranges.map(({ offset }) => offset));
    },
  );

  test.each(beside)(
    'beside %s repairs what differs, so that it also outlasts a power cut',
    async (_, options) => {
      const pair = await joined(options);
      for (const place of [70_000, 3 * EXTENT, 9 * EXTENT + 5]) flip(pair, place);
      await start(pair, true);
      expect(await ended(pair)).toMatchObject({ state: 'done', differences: 3, repairedBytes: 3 * 512 });
      expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
      await pair.clock.run(5000);
      pair.beta.crash('power');
      expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
    },
  );

  test('that repairs marks the extent before anything is sent, until the peer has flushed', async () => {
    const pair = await joined({ keepdirty: 1 });
    flip(pair, 3 * EXTENT);
    const bit = (): boolean => (((pair.alpha.disk.durable[4096] ?? 0) >> 3) & 1) === 1;
    expect(bit()).toBe(false);
    const marked: boolean[] = [];
    let flushedAt = -1;
    pair.beta.disk.onOperation = (kind, offset) => {
      if (kind === 'write' && offset >= pair.beta.dataOffset) marked.push(bit());
      if (kind === 'flush' && marked.length > 0 && flushedAt < 0) {
        flushedAt = pair.clock.now();
        marked.push(bit());
      }
    };
    await start(pair, true);
    await ended(pair);
    await pair.clock.run(5000);
    expect(marked).toEqual([true, true]);
    // It was the last extent that was written, and as such stays marked until there is another one.
    await pair.alpha.write(7 * EXTENT, block(1));
    await pair.clock.run(5000);
    expect(bit()).toBe(false);
  });

  test('tells nothing of writes that are on their way, in any mode', async () => {
    for (const replication of ['fullsync', 'memsync', 'async'] as const) {
      const pair = await joined({ replication });
      let writing = true;
      const writers = [1, 2, 3, 4].map(async (seed) => {
        for (let i = 0; writing; i++) {
          const at = ((i * 7 + seed * 13) % ((SIZE - 2 * EXTENT) / 4096)) * 4096;
          await pair.alpha.submit(at, block((i * seed) % 251));
        }
      });
      flip(pair, 6 * EXTENT + 200_000);
      await start(pair, false);
      const found = await ended(pair);
      writing = false;
      await pair.clock.finish(Promise.all(writers));
      expect(found.state).toBe('done');
      expect(found.differences).toBeLessThanOrEqual(1);
      for (const { offset } of found.ranges)
        expect(offset).toBe(6 * EXTENT + Math.floor(200_000 / 512) * 512);
    }
  });

  test('keeps its limit, tells how long it will take, and can be ended', async () => {
    const pair = await joined();
    await start(pair, false, 1024 * 1024);
    await pair.clock.run(2500);
    const { verify } = await pair.alpha.snapshot();
    expect(verify?.bytesPerSecond).toBeGreaterThan(0.8 * 1024 * 1024);
    expect(verify?.bytesPerSecond).toBeLessThan(1.3 * 1024 * 1024);
    expect(verify?.remainingMs).toBeGreaterThan(3000);
    expect(verify?.remainingMs).toBeLessThan(7000);
    await expect(start(pair, false)).rejects.toMatchObject({ code: 'verify-running' });
    await pair.alpha.run({ type: 'verify', action: 'stop' });
    expect(await ended(pair)).toMatchObject({ state: 'stopped' });
    await start(pair, false);
    expect(await ended(pair)).toMatchObject({ state: 'done', differences: 0 });
  });

  test('gives way to applications', async () => {
    const reads = async (write: boolean): Promise<number> => {
      const pair = await joined({ sizeBytes: 2 * SIZE });
      await start(pair, false);
      let bytes = 0;
      pair.beta.disk.onOperation = (kind, _, length) => (bytes += kind === 'read' ? length : 0);
      for (let i = 0; i < 10; i++) {
        if (write) await pair.alpha.write(SIZE, block(i));
        await pair.clock.run(4);
      }
      return bytes;
    };
    const without = await reads(false);
    expect(without).toBeGreaterThan(4 * 1024 * 1024);
    expect(await reads(true)).toBeLessThan(without / 4);
  });

  test('ends with the data link, says so, and is asked for anew', async () => {
    const pair = await joined();
    await start(pair, false, 1024 * 1024);
    await pair.clock.run(500);
    pair.net.resetAll();
    await pair.clock.run(10);
    expect(pair.alpha.kinds()).toContain('verify-interrupted');
    const found = await ended(pair);
    expect(found.state).toBe('interrupted');
    expect(found.doneBytes).toBeLessThan(SIZE / 2);
    await expect(start(pair, false)).rejects.toMatchObject({ code: 'not-in-sync' });
    await pair.untilInSync(pair.beta);
    await start(pair, false);
    expect(await ended(pair)).toMatchObject({ state: 'done', differences: 0 });
  });

  test('ends with the role, and is refused where nobody is primary', async () => {
    const pair = await joined();
    await start(pair, false, 1024 * 1024);
    await pair.alpha.run({ type: 'release', handover: true });
    expect(await ended(pair)).toMatchObject({ state: 'interrupted' });
    await expect(start(pair, false)).rejects.toMatchObject({ code: 'not-primary' });
  });

  test('goes past what a disk cannot read, and counts it', async () => {
    const pair = await joined();
    pair.beta.disk.faults.read = (offset) =>
      offset >= pair.beta.dataOffset + EXTENT && offset < pair.beta.dataOffset + 2 * EXTENT ? 'EIO' : null;
    await start(pair, true);
    expect(await ended(pair)).toMatchObject({ state: 'done', differences: 0, unreadBytes: EXTENT });
  });
});
