/** When a primary may go on without a peer that its record calls in sync: silence, references, a fence. */
import { describe, expect, test } from 'vitest';
import { DEFAULT_TIMING } from '../../src/model/timing.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';

const { holdMs: H } = DEFAULT_TIMING;

const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

/** Alpha is primary, beta in sync has just lost power, a write waits at alpha. */
async function cutOff(needs: 'silence' | 'references' | 'fence') {
  const pair = new SimPair(12);
  await pair.join();
  pair.alpha.lease.needs = needs;
  pair.beta.crash('power');
  const write = { done: false, result: null as string | null };
  void pair.alpha.submit(0, block(1)).then((result) => Object.assign(write, { done: true, result }));
  const inSync = async (): Promise<readonly string[]> => (await pair.alpha.snapshot()).record.inSync;
  return { pair, write, inSync };
}

describe('B8, A3: a node with references that lost its peer', () => {
  test('acknowledges nothing for as long as the references do not answer', async () => {
    const { pair, write, inSync } = await cutOff('references');
    await pair.clock.run(20 * H);
    expect(write.done).toBe(false);
    expect(await inSync()).toEqual(['alpha', 'beta']);
  });

  test('goes on alone when they answered a question that was put after the last word of the peer', async () => {
    const { pair, write, inSync } = await cutOff('references');
    pair.alpha.lease.references = pair.alpha.lease.at - 1;
    await pair.clock.run(3 * H);
    expect(write.done).toBe(false);
    pair.alpha.lease.references = pair.alpha.lease.at + 1;
    await pair.clock.run(100);
    expect(write).toEqual({ done: true, result: null });
    expect(await inSync()).toEqual(['alpha']);
  });

  test('waits for H even when they answer at once', async () => {
    const { pair, write } = await cutOff('references');
    pair.alpha.lease.references = Number.MAX_SAFE_INTEGER;
    await pair.clock.run(pair.alpha.lease.at + H - pair.clock.now() - 1);
    expect(write.done).toBe(false);
    await pair.clock.run(100);
    expect(write.done).toBe(true);
  });
});

describe('B6, A3: a standby that takes over', () => {
  const takeOver = async (earlierGone: boolean) => {
    const pair = new SimPair(13);
    await pair.join();
    pair.alpha.crash('power');
    const epoch = pair.nextEpoch();
    await pair.beta.run({ type: 'prepare-primary', epoch, inSync: ['beta'], earlierGone });
    await pair.beta.run({ type: 'become-primary', epoch });
    const write = { done: false };
    void pair.beta.submit(0, block(2)).then(() => (write.done = true));
    await pair.clock.run(50);
    return { pair, write };
  };

  test('from a primary that is certainly dead answers at once: nobody else can', async () => {
    const { pair, write } = await takeOver(true);
    expect(write.done).toBe(true);
    expect((await pair.beta.snapshot()).record).toMatchObject({ primary: 'beta', inSync: ['beta'] });
  });

  test('from one that is only silent answers when that could no longer have answered', async () => {
    const { pair, write } = await takeOver(false);
    expect(write.done).toBe(false);
    await pair.clock.run(H);
    expect(write.done).toBe(true);
  });
});

describe('F, A3: a node under policy consistent that lost its peer', () => {
  test('never goes on alone because of silence', async () => {
    const { pair, write, inSync } = await cutOff('fence');
    pair.alpha.lease.references = Number.MAX_SAFE_INTEGER;
    await pair.clock.run(20 * H);
    expect(write.done).toBe(false);
    expect(await inSync()).toEqual(['alpha', 'beta']);
  });

  test('goes on when the peer is fenced, and the record says so before the answer', async () => {
    const { pair, write, inSync } = await cutOff('fence');
    await pair.clock.run(3 * H);
    expect(write.done).toBe(false);
    pair.alpha.lease.fenced = pair.clock.now();
    await pair.clock.run(100);
    expect(write).toEqual({ done: true, result: null });
    expect(await inSync()).toEqual(['alpha']);
  });

  test('a fence from before the last word of the peer counts for nothing', async () => {
    const { pair, write } = await cutOff('fence');
    pair.alpha.lease.fenced = pair.alpha.lease.at - 1;
    await pair.clock.run(20 * H);
    expect(write.done).toBe(false);
  });
});

test('a thousand writes of which each overlaps the next end in their order behind a slow one, without a deep stack', async () => {
  const pair = new SimPair(14, { peerKind: 'hastd', sizeBytes: 8 * 1024 * 1024, keepdirty: 128 });
  await pair.alpha.start();
  await pair.promote(pair.alpha, ['alpha']);
  const two = (byte: number): Buffer => Buffer.alloc(8192, byte);
  for (let n = 0; n < 1025; n += 16) expect(await pair.alpha.write(n * 4096, two(0))).toBeNull();
  const writes = [pair.alpha.submit(0, two(255))];
  pair.alpha.disk.instant = true;
  let deepest = 0;
  pair.alpha.disk.onOperation = () => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = Infinity;
    deepest = Math.max(deepest, new Error().stack?.split('\n').length ?? 0);
    Error.stackTraceLimit = stackTraceLimit;
  };
  for (let n = 1; n <= 1024; n++) writes.push(pair.alpha.submit(n * 4096, two(n % 251)));
  const results = await pair.clock.finish(Promise.all(writes));
  expect(results.every((result) => result === null)).toBe(true);
  for (let n = 1; n <= 1024; n++) expect(pair.alpha.data[n * 4096]).toBe(n % 251);
  expect(deepest).toBeLessThan(100);
});
