/** A local disk that takes requests and answers none: what is told, and who goes on without it. */
import { describe, expect, test } from 'vitest';
import { boundDurableWrites } from '../../src/replication/disk-watch.ts';
import { SimClock, SimRandom } from '../../src/simulate/sim-clock.ts';
import { SimDisk } from '../../src/simulate/sim-disk.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';

/** hast.conf's `timeout` of these nodes. ms */
const TIMEOUT = 20_000;
const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

async function joined(): Promise<SimPair> {
  const pair = new SimPair(23);
  await pair.join();
  return pair;
}

describe('a disk that hangs', () => {
  test('is told after two seconds, given up after the timeout, and told when it works again', async () => {
    const { alpha, clock } = await joined();
    expect(await alpha.write(0, block(0))).toBeNull();
    alpha.disk.hang();
    const written = alpha.submit(0, block(1));
    await clock.run(3000);
    expect(alpha.seen).toMatchObject({
      diskError: expect.stringContaining('2000 ms') as string,
      diskHangs: false,
    });
    await clock.run(TIMEOUT);
    expect(alpha.seen).toMatchObject({
      diskError: expect.stringContaining('it hangs') as string,
      diskHangs: true,
    });
    alpha.disk.goOn();
    expect(await clock.finish(written)).toBeNull();
    await clock.run(1000);
    expect(await alpha.snapshot()).toMatchObject({ diskError: null, diskHangs: false });
    const told = alpha.kinds().filter((kind) => kind.startsWith('disk-'));
    expect(told).toEqual(['disk-stalled', 'disk-stalled', 'disk-recovered']);
  });

  test('of a primary holds up its release for a moment only, and nothing is served afterwards', async () => {
    const { alpha, clock } = await joined();
    alpha.disk.hang();
    void alpha.submit(0, block(1));
    await clock.run(TIMEOUT + 3000);
    const asked = clock.now();
    expect((await alpha.run({ type: 'release', handover: false })).role).toBe('init');
    expect(clock.now() - asked).toBeLessThan(2000);
    expect(alpha.device).toBeNull();
  });

  test('of a secondary holds up its primary for the timeout only: what it is worth is recorded beside that disk', async () => {
    const { alpha, beta, clock } = await joined();
    beta.disk.hang();
    expect(await alpha.write(0, block(1))).toBeNull();
    const started = clock.now();
    expect(await alpha.write(20 * 65_536, block(2), true)).toBeNull();
    expect(clock.now() - started).toBeLessThan(TIMEOUT + 5000);
    expect((await alpha.snapshot()).record.inSync).toEqual(['alpha']);
    expect((await beta.snapshot()).record.state).toBe('inconsistent');
    beta.crash('power');
    beta.disk.goOn();
    expect((await beta.start()).record.state).toBe('inconsistent');
  });

  test.each(['alpha', 'beta'] as const)(
    'for three seconds only makes writes wait, also those that need a bit of the map first (on %s)',
    async (name) => {
      const pair = await joined();
      const { alpha, beta, clock } = pair;
      expect(await alpha.write(0, block(0))).toBeNull();
      pair[name].disk.hang();
      const hot = alpha.submit(0, block(1));
      await clock.run(2500);
      const cold = alpha.submit(20 * 65_536, block(2), true);
      await clock.run(500);
      pair[name].disk.goOn();
      expect(await clock.finish(Promise.all([hot, cold]))).toEqual([null, null]);
      await clock.run(1000);
      expect((await alpha.snapshot()).record.inSync).toEqual(['alpha', 'beta']);
      expect((await beta.snapshot()).record.state).toBe('clean');
    },
  );

  test('in a flush that nothing else waits for is only slow, for three times the timeout', async () => {
    const { alpha, clock } = await joined();
    alpha.disk.hang();
    alpha.device?.flush(() => undefined);
    await clock.run(TIMEOUT - 1000);
    expect(alpha.kinds()).not.toContain('disk-stalled');
    await clock.run(TIMEOUT);
    expect((await alpha.snapshot()).diskHangs).toBe(false);
    await clock.run(2 * TIMEOUT);
    expect((await alpha.snapshot()).diskHangs).toBe(true);
  });

  test('never lets a durable write that comes late go over a newer one', async () => {
    const clock = new SimClock();
    const disk = new SimDisk(clock, new SimRandom(1), 8192);
    const bounded = boundDurableWrites(disk, clock, () => 100);
    const write = (byte: number): Promise<string | null> =>
      clock.finish(new Promise((resolve) => bounded.writeDurable(0, Buffer.alloc(512, byte), resolve)));
    disk.hang();
    expect(await write(1)).toBe('EIO');
    expect(await write(2)).toBe('EIO');
    disk.goOn();
    expect(disk.durable[0]).toBe(1);
    expect(await write(3)).toBeNull();
    expect(disk.durable[0]).toBe(3);
  });
});
