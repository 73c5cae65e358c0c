/**
 * A local flush that fails around the end of a link: what counts as ours, what as the peer's, until both have everything
 * again. @see SAFETY A2, A3, A6
 */
import { expect, test } from 'vitest';
import type { SimOptions, SimPair } from '../../src/simulate/sim-node.ts';
import { at, block, BLOCK, joined, mended, watch } from '../support/stale-pair.ts';
import type { Watched } from '../support/stale-pair.ts';

const EXTENTS = Array.from({ length: 15 }, (_, i) => i + 5);
/** An extent takes a quarter of a second. */
const SLOW = 262_144;

/** Everything is flushed on both sides but one block of each of these extents, which both have. */
async function unflushed(extents: readonly number[], options: SimOptions = {}, seed = 61): Promise<SimPair> {
  const pair = await joined({ replication: 'fullsync', ...options }, seed);
  for (const e of extents) expect(await pair.alpha.write(at(e), block(1))).toBeNull();
  await pair.clock.run(20);
  return pair;
}

/** Once, and nothing is lost by it. */
function failFlush({ alpha }: SimPair): void {
  alpha.disk.faults.flush = () => {
    alpha.disk.faults = {};
    return 'EIO';
  };
}

function flush({ alpha }: SimPair): Watched {
  return watch(new Promise((resolve) => alpha.device?.flush(resolve)));
}

function cut({ net }: SimPair): void {
  net.refusing = true;
  net.resetAll();
}

/** The link comes back. */
async function met({ alpha, clock, net }: SimPair): Promise<void> {
  const before = alpha.kinds().length;
  net.refusing = false;
  expect(await clock.run(5000, () => alpha.kinds().slice(before).includes('connected'))).toBe(true);
}

async function powerCycle({ beta }: SimPair): Promise<void> {
  beta.crash('power');
  await beta.start();
  await beta.run({ type: 'become-secondary' });
}

test.each(['fullsync', 'memsync'] as const)(
  '%s: a write that waits for going on alone is EIO when a flush fails here as soon as the link is back',
  async (replication) => {
    const pair = await unflushed([9], { replication });
    const { alpha, clock } = pair;
    cut(pair);
    const write = watch(alpha.submit(at(9, 1), block(2)));
    await clock.run(20);
    // Going on alone is not durable yet.
    alpha.sidecarMs = 50;
    await met(pair);
    failFlush(pair);
    flush(pair);
    await clock.run(20);
    alpha.sidecarMs = 0.2;
    await mended(pair);
    expect(write.answer).toBe('EIO');
    expect(await alpha.read(at(9), BLOCK)).toEqual(block(1));
  },
);

test('our copy of what the peer lost with its power counts also when a flush fails here while it is copied', async () => {
  const pair = await unflushed(EXTENTS, { resyncRate: SLOW });
  const { alpha, clock } = pair;
  cut(pair);
  await clock.run(5);
  await powerCycle(pair);
  await met(pair);
  failFlush(pair);
  const flushed = flush(pair);
  await clock.run(20);
  expect(flushed.answer).toBe('EIO');
  await mended(pair);
  for (const e of EXTENTS) expect([e, (await alpha.read(at(e), BLOCK))[0]]).toEqual([e, 1]);
});

test('after a failed flush none is success while our copy counts again and the peer lacks it', async () => {
  const pair = await unflushed(EXTENTS, { resyncRate: SLOW });
  const { clock } = pair;
  cut(pair);
  failFlush(pair);
  flush(pair);
  await clock.run(20);
  await powerCycle(pair);
  await met(pair);
  const during = flush(pair);
  await clock.run(50);
  await mended(pair);
  const after = flush(pair);
  await clock.run(50);
  expect([during.answer, after.answer]).toEqual(['EIO', null]);
});
