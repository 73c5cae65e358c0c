/** A resync keeps its limit, says how long it will take, and gives way to applications. */
import { describe, expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';

const SIZE = 8 * 1024 * 1024;
const EXTENT = 256 * 1024;
const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

/** A pair whose secondary missed a write to every extent and has just come back. */
async function behind(options: SimOptions): Promise<SimPair> {
  const pair = new SimPair(5, { sizeBytes: SIZE, extentsize: EXTENT, ...options });
  await pair.join();
  pair.beta.crash('process');
  await pair.clock.run(2000);
  const end = (options.sizeBytes ?? SIZE) - EXTENT;
  for (let at = 0; at + EXTENT <= end; at += EXTENT) await pair.alpha.write(at, block(1));
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.clock.run(5000, () => pair.alpha.kinds().lastIndexOf('sync-started') > -1);
  return pair;
}

describe('a resync', () => {
  test('copies no faster than its limit allows, and tells when it will be done', async () => {
    const pair = await behind({ resyncRate: 2 * 1024 * 1024 });
    const started = pair.clock.now();
    await pair.clock.run(1500);
    const { sync } = await pair.alpha.snapshot();
    expect(sync?.bytesPerSecond).toBeGreaterThan(1.6 * 1024 * 1024);
    expect(sync?.bytesPerSecond).toBeLessThan(2.5 * 1024 * 1024);
    const said = pair.clock.now() + (sync?.remainingMs ?? 0);
    await pair.untilInSync(pair.beta);
    const took = pair.clock.now() - started;
    expect(took).toBeGreaterThan(3000);
    expect(Math.abs(pair.clock.now() - said)).toBeLessThan(1000);
  });

  test('without a limit takes as long as the disks and the link do', async () => {
    const pair = await behind({});
    const started = pair.clock.now();
    await pair.untilInSync(pair.beta);
    expect(pair.clock.now() - started).toBeLessThan(1000);
  });

  test.each([
    ['small extents', 65536, 16 * 65536],
    ['large ones', 2 * 1024 * 1024, 2 * 1024 * 1024],
  ])('with %s has as many requests under way as its bounds allow', async (_, extentsize, expected) => {
    const pair = new SimPair(5, { sizeBytes: 2 * SIZE, extentsize });
    await pair.join();
    pair.beta.crash('process');
    await pair.clock.run(2000);
    for (let at = 0; at + extentsize < SIZE; at += extentsize) await pair.alpha.write(at, block(1));
    let bytes = 0;
    pair.alpha.disk.onOperation = (kind, _, length) => (bytes += kind === 'read' ? length : 0);
    pair.alpha.disk.latencyMs = 1000;
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.clock.run(60_000, () => bytes > 0);
    expect(bytes).toBe(expected);
  });

  test('gives way to applications, also in the moments between their requests', async () => {
    const reads = async (write: boolean): Promise<number> => {
      const pair = await behind({ sizeBytes: 4 * SIZE });
      let count = 0;
      pair.alpha.disk.onOperation = (kind) => (count += kind === 'read' ? 1 : 0);
      for (let i = 0; i < 10; i++) {
        if (write) await pair.alpha.write(SIZE / 2, block(i));
        await pair.clock.run(4);
      }
      return count;
    };
    const without = await reads(false);
    expect(without).toBeGreaterThan(50);
    expect(await reads(true)).toBeLessThan(without / 2);
  });

  test('that waits for its limit ends with its link, and goes on with the next', async () => {
    const pair = await behind({ resyncRate: 2 * 1024 * 1024 });
    await pair.clock.run(500);
    pair.net.resetAll();
    await pair.clock.run(10);
    expect(pair.alpha.kinds()).toContain('sync-interrupted');
    await pair.untilInSync(pair.beta);
    expect(pair.alpha.kinds().at(-1)).not.toBe('sync-interrupted');
  });
});
