/**
 * A local flush that fails around the end of a link: what counts as ours, what as the peer's, until both have everything
 * again. @see SAFETY A2, A3, A6
 */
import { expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';
import { at, block, BLOCK, joined, mended, watch, when } from '../support/stale-pair.ts';
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

test('memsync: what was acknowledged before a flush failed here is the peer’s when the link dies before its last word', async () => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 12; seed++) {
    const pair = await joined({ replication: 'memsync' }, seed);
    const { alpha, beta, clock, net } = pair;
    expect(await alpha.write(at(7), block(1))).toBeNull();
    await clock.run(4000);
    let write: Watched = { answer: undefined };
    alpha.disk.latencyMs = 4;
    when(alpha, 'flush', () =>
      clock.after(2.5, () => {
        alpha.disk.latencyMs = 0.1;
        beta.disk.latencyMs = 20;
        write = watch(alpha.submit(at(7), block(2)));
      }),
    );
    alpha.disk.faults.loses = () => true;
    alpha.disk.faults.flush = () => {
      clock.after(0.01, () => net.resetAll());
      return 'EIO';
    };
    flush(pair);
    await clock.run(60);
    alpha.disk.latencyMs = beta.disk.latencyMs = 0.3;
    const { answer } = write;
    await mended(pair);
    if (answer === null) outcomes.add(String((await alpha.read(at(7), BLOCK))[0]));
  }
  expect([...outcomes]).toEqual(['2']);
});

test('without a peer a failed flush fails the writes that were under way, and none that begins later', async () => {
  const pair = new SimPair(61, { single: true });
  const { alpha, clock } = pair;
  await alpha.start();
  await pair.promote(alpha, ['alpha']);
  await clock.run(100);
  failFlush(pair);
  const flushed = flush(pair);
  const answers: (string | null)[] = [];
  // One of the extent is always under way.
  const load = (n: number): void => {
    if (n < 60) void alpha.submit(at(6, n % 16), block(9)).then((answer) => load(answers.push(answer) + 3));
  };
  for (let n = 0; n < 4; n++) load(n);
  await clock.run(100);
  expect(flushed.answer).toBe('EIO');
  expect(answers.filter((answer) => answer === 'EIO').length).toBeLessThanOrEqual(4);
  expect(answers.length).toBeGreaterThan(40);
});
