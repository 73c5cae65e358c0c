/** Requests between two hastate nodes that are larger than a plain hastd takes. */
import { describe, expect, test } from 'vitest';
import { HAST_CMD } from '../../src/protocol/hast-message.ts';
import { MAX_REQUEST_BYTES, MAXPHYS } from '../../src/replication/core.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';
import { shakeHands, text, u64, u8, VIRGIN } from '../support/sim-wire.ts';
import type { Wire } from '../support/sim-wire.ts';

const MIB = 1024 * 1024;
const SETUP: SimOptions = { sizeBytes: 12 * MIB, extentsize: 2 * MIB, replication: 'fullsync' };
const noise = (bytes: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + (at >> 9) * 7 + seed) & 255));

async function joined(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(11, { ...SETUP, ...options });
  await pair.join();
  return pair;
}

/** Bytes of the writes that beta's disk gets from here on. */
function written(pair: SimPair): number[] {
  const lengths: number[] = [];
  pair.beta.disk.onOperation = (kind, _, length) => {
    if (kind === 'write') lengths.push(length);
  };
  return lengths;
}

function expectEqualDisks(pair: SimPair): void {
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
}

describe('a large write', () => {
  test.each(['none', 'crc32', 'sha256'] as const)(
    'is one message and one write of the other disk (checksum %s)',
    async (checksum) => {
      const pair = await joined({ checksum });
      const lengths = written(pair);
      const writes = [0, 1, 2].map((at) => pair.alpha.submit(at * MIB, noise(MIB, at)));
      expect(await pair.clock.finish(Promise.all(writes))).toEqual([null, null, null]);
      expect(lengths).toEqual([MIB, MIB, MIB]);
      expectEqualDisks(pair);
    },
  );

  test('among small ones, of any length and in any order, arrives whole', async () => {
    const pair = await joined({ replication: 'memsync' });
    const blocks = [1, 256, 33, 2, 257, 1, 200, 31, 70, 256, 5];
    const writes = blocks.map((count, at) => pair.alpha.submit(at * 256 * 4096, noise(count * 4096, at)));
    expect(new Set(await pair.clock.finish(Promise.all(writes)))).toEqual(new Set([null]));
    await pair.alpha.flush();
    expectEqualDisks(pair);
  });

  test('goes to a plain hastd in pieces that it takes', async () => {
    const pair = new SimPair(11, { ...SETUP, peerKind: 'hastd' });
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    await pair.clock.run(10_000, () => pair.alpha.kinds().includes('connected'));
    const lengths = written(pair);
    expect(await pair.alpha.write(0, noise(MIB, 1))).toBeNull();
    await pair.clock.run(100);
    expect(lengths).toEqual(Array.from({ length: 8 }, () => MAXPHYS));
    expectEqualDisks(pair);
  });

  test('of which the link carried only a part changes nothing there, and is copied later', async () => {
    const pair = await joined();
    pair.net.bytesPerMs = 20 * 1024;
    const before = Buffer.from(pair.beta.data);
    let answer: string | null | undefined;
    void pair.alpha.submit(0, noise(MIB, 3)).then((error) => (answer = error));
    await pair.clock.run(30);
    pair.net.resetAll();
    pair.net.refusing = true;
    await pair.clock.run(20);
    expect(pair.beta.data.equals(before)).toBe(true);
    pair.net.refusing = false;
    pair.net.bytesPerMs = Infinity;
    await pair.untilInSync(pair.beta);
    expect(answer).toBeNull();
    expectEqualDisks(pair);
  });

  test('that takes longer than silence may on a slow link does not end it', async () => {
    const pair = await joined();
    pair.net.bytesPerMs = 1024;
    const connected = pair.alpha.kinds().filter((kind) => kind === 'connected').length;
    expect(await pair.alpha.write(0, noise(MIB, 3))).toBeNull();
    expect(pair.beta.kinds()).not.toContain('disconnected');
    expect(pair.alpha.kinds().filter((kind) => kind === 'connected')).toHaveLength(connected);
    expectEqualDisks(pair);
  });
});

describe('what only the other disk has', () => {
  test('is read from there, and copied back in large pieces', async () => {
    const pair = await joined();
    await pair.alpha.write(2 * MIB, noise(MIB, 9));
    const kept = noise(MIB, 5);
    pair.alpha.disk.faults.write = () => 'EIO';
    expect(await pair.alpha.write(0, kept)).toBeNull();
    expect((await pair.alpha.read(0, MIB)).equals(kept)).toBe(true);
    const lengths: number[] = [];
    pair.beta.disk.onOperation = (kind, _, length) => {
      if (kind === 'read') lengths.push(length);
    };
    pair.alpha.disk.faults = {};
    await pair.clock.run(10_000);
    expect(Math.max(...lengths)).toBeGreaterThan(MAXPHYS);
    expectEqualDisks(pair);
  });
});

describe('a request that is larger than was agreed', () => {
  const write = (one: Wire, length: number, data = Buffer.alloc(length, 7)): void =>
    one.send([u8('cmd', HAST_CMD.WRITE), u64('seq', 1), u64('offset', 0), u64('length', length)], data);
  const words = (maxreq: number | null): Parameters<typeof shakeHands>[1] => [
    ...VIRGIN,
    ...[u8('hastate', 1), text('node', 'alpha'), text('boot', '1'), text('hstate', 'virgin')],
    ...[u64('epoch', 1), u64('epochid', 1), u64('gen', 0), u64('genprev', 0), text('insync', 'alpha')],
    ...(maxreq === null ? [] : [{ name: 'maxreq', type: 'uint32', value: maxreq } as const]),
  ];

  async function secondary(peerKind: 'hastate' | 'hastd'): Promise<SimPair> {
    const pair = new SimPair(11, { ...SETUP, peerKind });
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    return pair;
  }

  test.each([
    ['a plain hastd', 'hastd', VIRGIN],
    ['a hastate that agreed on nothing', 'hastate', words(null)],
    ['a hastate that takes no more itself', 'hastate', words(1)],
  ] as const)('ends the link of %s, and nothing is written', async (_, peerKind, request) => {
    const pair = await secondary(peerKind);
    const { one } = await shakeHands(pair, request);
    const lengths = written(pair);
    write(one, MIB);
    await pair.clock.run(50);
    expect(one.closed).toContain(`1 to ${2 * MAXPHYS} are taken`);
    expect(lengths).toEqual([]);
  });

  test('but not larger than a message may be is refused', async () => {
    const pair = await secondary('hastd');
    const { one, two } = await shakeHands(pair, VIRGIN);
    write(one, MAXPHYS + 512);
    expect((await two.next()).nv.number('error', 'int16')).toBe(22);
    expect(one.closed).toBeNull();
  });

  test('whatever the peer says that it takes, ends its link above our own bound', async () => {
    const pair = await secondary('hastate');
    const { one, two } = await shakeHands(pair, words(0xffff_ffff));
    const lengths = written(pair);
    write(one, MAX_REQUEST_BYTES);
    await pair.clock.run(50);
    expect(lengths).toEqual([MAX_REQUEST_BYTES]);
    expect(two.frames.some(({ nv }) => nv.has('error'))).toBe(false);
    write(one, 2 * MAX_REQUEST_BYTES);
    await pair.clock.run(50);
    expect(one.closed).toContain('bytes of data');
  });
});
