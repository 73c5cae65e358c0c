/** SAFETY A6, B4: what a former secondary is worth when it starts again, by its own activemap. */
import { describe, expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';

const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

async function written(): Promise<SimPair> {
  const pair = new SimPair(31);
  await pair.join();
  for (let i = 0; i < 3; i++) await pair.alpha.write(i * 65536, block(i + 1));
  await pair.clock.run(20);
  return pair;
}

describe('a former secondary', () => {
  test('that lost power is behind by what it had not flushed, whatever the records say, until it joined again', async () => {
    const pair = await written();
    pair.beta.crash('power');
    expect(await pair.beta.start()).toMatchObject({ freshness: { kind: 'behind', extents: 3 } });
    const told = await pair.beta.run({ type: 'set-freshness', freshness: { kind: 'inSync' } });
    expect(told.freshness).toEqual({ kind: 'behind', extents: 3 });
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
    expect((await pair.beta.snapshot()).freshness).toEqual({ kind: 'inSync' });
  });

  test('that is told worse than behind believes it', async () => {
    const pair = await written();
    pair.beta.crash('power');
    await pair.beta.start();
    const told = await pair.beta.run({ type: 'set-freshness', freshness: { kind: 'outdated' } });
    expect(told.freshness).toEqual({ kind: 'outdated' });
  });

  test('that was stopped has flushed: its map is empty, and it may be called in sync', async () => {
    const pair = await written();
    await pair.beta.run({ type: 'stop' });
    pair.beta.crash('power');
    expect(await pair.beta.start()).toMatchObject({ dirtyBytes: 0, freshness: { kind: 'unknown' } });
    const told = await pair.beta.run({ type: 'set-freshness', freshness: { kind: 'inSync' } });
    expect(told.freshness).toEqual({ kind: 'inSync' });
    const at = pair.beta.dataOffset + 2 * 65536;
    expect(pair.beta.disk.durable.subarray(at, at + 4096)).toEqual(block(3));
  });

  test('whose disk failed to flush when it was stopped is behind', async () => {
    const pair = await written();
    pair.beta.disk.faults.flush = () => 'EIO';
    await pair.beta.run({ type: 'stop' });
    pair.beta.disk.faults = {};
    pair.beta.crash('power');
    expect((await pair.beta.start()).freshness).toEqual({ kind: 'behind', extents: 3 });
  });

  test('stops although its disk hangs', async () => {
    const pair = await written();
    pair.beta.disk.latencyMs = 300_000;
    const stopped = await pair.beta.run({ type: 'stop' });
    expect(stopped.role).toBe('init');
  });
});
