/** SAFETY A3, A4: what a primary may conclude after its process or machine stood still. */
import { describe, expect, test } from 'vitest';
import { DEFAULT_TIMING } from '../../src/model/timing.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';

const { holdMs: H, promotionDelayMs: D } = DEFAULT_TIMING;

async function joined(): Promise<SimPair> {
  const pair = new SimPair(11);
  await pair.join();
  return pair;
}

const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

/** Watches a promise from outside. */
function watch(work: Promise<string | null>): { done: boolean; result: string | null } {
  const state = { done: false, result: null as string | null };
  void work.then((result) => Object.assign(state, { done: true, result }));
  return state;
}

describe('a primary that stood still', () => {
  /** It sleeps 3 s while every frame is lost. */
  async function wakes(): Promise<SimPair> {
    const pair = await joined();
    await pair.alpha.write(0, block(1));
    pair.alpha.suspend(3000);
    pair.net.silent = true;
    await pair.clock.run(2999);
    return pair;
  }

  test('does not count its own sleep as the peer’s silence: it holds until H after it woke', async () => {
    const pair = await wakes();
    await pair.clock.run(1);
    const write = watch(pair.alpha.submit(0, block(2)));
    let read = false;
    pair.alpha.device?.read(0, 4096, () => (read = true));
    await pair.clock.run(H - 10);
    expect([write.done, read]).toEqual([false, false]);
    expect((await pair.alpha.snapshot()).record.inSync).toEqual(['alpha', 'beta']);
    await pair.clock.run(100);
    expect([write.done, read]).toEqual([true, true]);
  });

  test('learns of its successor before it acknowledges anything', async () => {
    const pair = await wakes();
    await pair.promote(pair.beta, ['beta']);
    await pair.clock.run(100);
    const write = watch(pair.alpha.submit(0, block(2)));
    pair.net.silent = false;
    await pair.clock.run(5000);
    expect(write.done).toBe(false);
    expect(pair.alpha.kinds()).toContain('frozen');
  });

  test('goes on at once with a peer that answers', async () => {
    const pair = await wakes();
    pair.net.silent = false;
    await pair.clock.run(1);
    const write = watch(pair.alpha.submit(0, block(2)));
    await pair.clock.run(H - 50, () => write.done);
    expect(write).toEqual({ done: true, result: null });
  });

  test('that was alone already when it was promoted waits for H after it woke, too', async () => {
    const pair = await joined();
    pair.alpha.crash('power');
    await pair.clock.run(D);
    pair.beta.lease.heard(pair.clock.now());
    await pair.promote(pair.beta, ['beta']);
    await pair.clock.run(100);
    pair.beta.suspend(3000);
    await pair.clock.run(3000);
    const state = watch(pair.beta.submit(0, block(3)));
    await pair.clock.run(H - 10);
    expect(state.done).toBe(false);
    await pair.clock.run(100);
    expect(state.done).toBe(true);
  });
});
