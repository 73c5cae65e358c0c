/** Faults at the worst moment: the engine gets over them by itself, and its commands end. */
import { describe, expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';

const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);

async function joined(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(11, options);
  await pair.join();
  return pair;
}

/** Does something `ms` after the next `connected` of the primary. */
function afterConnect(pair: SimPair, ms: number, what: () => void): void {
  const hear = pair.alpha.onEvent;
  let armed = true;
  pair.alpha.onEvent = (event) => {
    hear(event);
    if (event.kind !== 'connected' || !armed) return;
    armed = false;
    pair.clock.after(ms, what);
  };
}

describe('a link that dies while it comes up', () => {
  test.each([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 5, 8])(
    'after %s ms is replaced by another, and the peer is in sync again',
    async (ms) => {
      const pair = await joined();
      await pair.alpha.write(0, block(1));
      afterConnect(pair, ms, () => pair.net.resetAll());
      pair.net.resetAll();
      await pair.clock.run(10_000);
      expect(await pair.alpha.snapshot()).toMatchObject({
        dataLinkUp: true,
        record: { inSync: ['alpha', 'beta'] },
      });
    },
  );

  test('does not hold up a release', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    afterConnect(pair, 0.2, () => pair.net.resetAll());
    pair.net.resetAll();
    await pair.clock.run(2000);
    await expect(pair.alpha.run({ type: 'release', handover: false })).resolves.toMatchObject({
      role: 'init',
    });
  });
});

test('a release ends although the disk hangs', async () => {
  const pair = await joined();
  await pair.alpha.write(0, block(1));
  afterConnect(pair, 0, () => (pair.alpha.disk.latencyMs = 300_000));
  pair.net.resetAll();
  await pair.clock.run(500);
  const released = await pair.alpha.run({ type: 'release', handover: false });
  expect(released.role).toBe('init');
});

describe('a local flush that fails once', () => {
  const fail = (pair: SimPair, times = 1): { flushes: number } => {
    const seen = { flushes: 0 };
    pair.alpha.disk.faults.flush = () => (seen.flushes++ < times ? 'EIO' : null);
    return seen;
  };
  const stored = (pair: SimPair, at: number): Buffer => {
    const from = pair.alpha.dataOffset + at;
    return pair.alpha.disk.durable.subarray(from, from + 4096);
  };
  const bothInSync = { state: 'clean', inSync: ['alpha', 'beta'] };
  const peerAlone = { state: 'inconsistent', inSync: ['beta'] };

  test.each([0, 5])(
    'may have taken a write acknowledged %s ms before: the peer’s copy counts, and comes back',
    async (ms) => {
      const pair = await joined();
      await pair.clock.run(5000);
      await pair.alpha.write(655360, block(1));
      await pair.clock.run(ms);
      fail(pair);
      expect(await pair.alpha.flush()).toBeNull();
      expect((await pair.alpha.snapshot()).record).toMatchObject(peerAlone);
      await pair.clock.run(6000);
      expect(pair.alpha.kinds()).toContain('sync-done');
      expect(stored(pair, 655360)).toEqual(block(1));
      expect((await pair.alpha.snapshot()).record).toMatchObject(bothInSync);
    },
  );

  test('takes what was written while it ran, too', async () => {
    const pair = await joined();
    await pair.clock.run(5000);
    await pair.alpha.write(0, block(1));
    await pair.clock.run(5);
    pair.alpha.disk.faults.flush = () => {
      pair.alpha.disk.faults = {};
      return 'EIO';
    };
    const flush = pair.alpha.flush();
    await pair.alpha.write(655360, block(2));
    expect(await flush).toBeNull();
    await pair.clock.run(6000);
    expect(pair.alpha.events.find((event) => event.kind === 'sync-started')?.message).toContain('131072');
    expect((await pair.alpha.snapshot()).record).toMatchObject(bothInSync);
  });

  test('is over when the peer has copied back what it took', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    fail(pair);
    expect(await pair.alpha.flush()).toBeNull();
    await pair.clock.run(5000);
    pair.beta.crash('power');
    expect(await pair.alpha.flush()).toBeNull();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
    await pair.alpha.write(65536, block(2));
    expect(await pair.alpha.flush()).toBeNull();
    expect(stored(pair, 65536)).toEqual(block(2));
    expect((await pair.alpha.snapshot()).record).toMatchObject(bothInSync);
  });

  test('is over at once when there was nothing that it could take', async () => {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    await pair.clock.run(5000);
    fail(pair);
    expect(await pair.alpha.flush()).toBeNull();
    expect((await pair.alpha.snapshot()).record).toMatchObject(bothInSync);
    expect(await pair.alpha.flush()).toBeNull();
  });

  test('without a peer is over when a peer has everything again, not before', async () => {
    const pair = await joined();
    pair.beta.crash('power');
    await pair.alpha.write(0, block(1));
    fail(pair);
    expect(await pair.alpha.flush()).toBe('EIO');
    expect(await pair.alpha.flush()).toBe('EIO');
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.untilInSync(pair.beta);
    expect(await pair.alpha.flush()).toBeNull();
  });
});

test('a disk that fails every flush is not asked without a pause', async () => {
  const pair = await joined();
  let flushes = 0;
  pair.alpha.disk.faults.flush = () => {
    flushes++;
    return 'EIO';
  };
  await pair.alpha.write(0, block(1));
  expect(await pair.alpha.flush()).toBeNull();
  pair.net.resetAll();
  await pair.clock.run(10_000);
  expect(flushes).toBeGreaterThan(5);
  expect(flushes).toBeLessThan(25);
  expect((await pair.alpha.snapshot()).record.inSync).toEqual(['beta']);
  pair.alpha.disk.faults = {};
  await pair.clock.run(3000);
  expect((await pair.alpha.snapshot()).record).toMatchObject({ state: 'clean', inSync: ['alpha', 'beta'] });
});

test('a peer that fails every flush is met less and less often, which is told once, and at once when it works', async () => {
  const pair = await joined();
  const connects = (): number => pair.alpha.kinds().filter((kind) => kind === 'connected').length;
  const told = (): number =>
    pair.alpha.events.filter(({ message }) => message.includes('keeps ending before')).length;
  pair.beta.disk.faults.flush = () => 'EIO';
  await pair.alpha.write(0, block(1));
  await pair.clock.run(60_000);
  expect([connects() < 25, told()]).toEqual([true, 1]);
  pair.beta.disk.faults = {};
  await pair.untilInSync(pair.beta);
  const before = connects();
  pair.net.resetAll();
  await pair.clock.run(500, () => connects() > before);
  expect(connects()).toBe(before + 1);
});

test('a write of an earlier link whose local half ends after the nodes are in sync again is answered', async () => {
  const pair = await joined();
  pair.net.latencyMs = 50;
  // Only its write of data: the bits of its extent are durable before.
  pair.alpha.disk.onOperation = (kind) => {
    pair.alpha.disk.latencyMs = kind === 'write' ? 20_000 : 0.3;
  };
  const written = pair.alpha.submit(0, block(2));
  await pair.clock.run(5);
  pair.alpha.disk.onOperation = () => undefined;
  pair.alpha.disk.latencyMs = 0.3;
  pair.net.latencyMs = 0.2;
  pair.net.resetAll();
  const connects = (): number => pair.alpha.kinds().filter((kind) => kind === 'connected').length;
  await pair.clock.run(2000, () => connects() === 2);
  await pair.untilInSync(pair.beta);
  let answer: string | null = 'none yet';
  void written.then((error) => (answer = error));
  await pair.clock.run(40_000, () => answer !== 'none yet');
  expect(answer).toBeNull();
  await pair.untilInSync(pair.beta);
  expect(await pair.alpha.read(0, 4096)).toEqual(block(2));
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
});
