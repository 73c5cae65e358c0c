/** Faults at the worst moment: the engine gets over them by itself, and its commands end. */
import { describe, expect, test } from 'vitest';
import { SimPair } from '../support/sim-node.ts';
import type { SimOptions } from '../support/sim-node.ts';

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
