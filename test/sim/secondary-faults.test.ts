/** A secondary whose disk or primary fails: what it received is there, or marked, and its own map says so to the next primary. */
import { describe, expect, test } from 'vitest';
import { mapBit } from '../../src/protocol/hast-metadata.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import { shakeHands, u64, u8, VIRGIN } from '../support/sim-wire.ts';
import type { Wire } from '../support/sim-wire.ts';

const EXTENT = 65536;

async function plainSecondary(): Promise<{ pair: SimPair; one: Wire; two: Wire }> {
  const pair = new SimPair(7, { peerKind: 'hastd' });
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  return { pair, ...(await shakeHands(pair, VIRGIN)) };
}

function write(one: Wire, seq: number, extent: number): void {
  one.send(
    [u8('cmd', 2), u64('seq', seq), u64('offset', extent * EXTENT), u64('length', 512)],
    Buffer.alloc(512, seq),
  );
}

/** Which extents the map of the next handshake names. */
async function named(pair: SimPair): Promise<number[]> {
  const { reply } = await shakeHands(pair, [u64('resuid', 4660), u64('localcnt', 0), u64('remotecnt', 0)]);
  const map = reply.data ?? Buffer.alloc(0);
  return Array.from({ length: 63 }, (_, extent) => extent).filter((extent) => mapBit(map, extent));
}

describe('a failed flush of a secondary', () => {
  test('makes everything doubtful that was written before it failed, whatever a later flush says', async () => {
    const { pair, one, two } = await plainSecondary();
    write(one, 1, 3);
    await two.next();
    pair.beta.disk.faults.flush = () => {
      pair.beta.disk.faults = {};
      return 'EIO';
    };
    one.send([u8('cmd', 4), u64('seq', 2), u64('offset', 0), u64('length', 0)]);
    await pair.clock.run(0.5);
    write(one, 3, 9);
    await pair.clock.run(50);
    expect(two.frames.map((frame) => frame.nv.number('error', 'int16') ?? 0)).toEqual([5, 0]);
    expect(one.closed).toContain('failed to flush');
    expect(await named(pair)).toEqual([3, 9]);
  });

  test('is said, and the disk is no candidate any more', async () => {
    const { pair, one } = await plainSecondary();
    pair.beta.disk.faults.flush = () => 'EIO';
    one.send([u8('cmd', 4), u64('seq', 1), u64('offset', 0), u64('length', 0)]);
    await pair.clock.run(50);
    expect(pair.beta.kinds()).toContain('disk-error');
    expect(await pair.beta.snapshot()).toMatchObject({
      freshness: { kind: 'inconsistent' },
      diskError: 'local flush failed: EIO',
    });
  });
});

describe('a primary that asks for more than it takes', () => {
  const flood = (one: Wire, count: number, fields: Parameters<typeof u64>[]): void => {
    for (let seq = 1; seq <= count; seq++)
      one.send([u8('cmd', 1), u64('seq', seq), ...fields.map(([name, value]) => u64(name, value))]);
  };
  const reads: Parameters<typeof u64>[] = [
    ['offset', 0],
    ['length', 131072],
  ];

  test('and never waits for an answer loses its link at a bound; another one works', async () => {
    const { pair, one } = await plainSecondary();
    pair.beta.disk.latencyMs = 60_000;
    flood(one, 2100, reads);
    await pair.clock.run(50);
    expect(one.closed).toContain('than can be answered');
    pair.beta.disk.latencyMs = 0.3;
    await pair.clock.run(120_000);
    expect(await named(pair)).toEqual([]);
  });

  test('and does not read the answers loses its link at a bound', async () => {
    const { pair, one, two } = await plainSecondary();
    two.stopReading();
    for (let i = 0; i < 22 && one.closed === null; i++) {
      flood(one, 100, reads);
      await pair.clock.run(100);
    }
    expect(one.closed).toContain('than can be answered');
  });
});

test('what a primary had sent when it died is applied, also when its connection for answers is seen to end first (B7)', async () => {
  const { pair, one, two } = await plainSecondary();
  pair.net.readDelayMs = 10_000;
  write(one, 1, 3);
  await pair.clock.run(2);
  pair.net.readDelayMs = 0.2;
  two.close();
  await pair.clock.run(20);
  expect(pair.beta.data[3 * EXTENT]).toBe(1);
});
