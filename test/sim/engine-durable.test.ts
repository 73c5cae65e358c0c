/** What was flushed is on each disk by itself: either node may lose its power, and the peer's word is looked at. */
import { describe, expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimName, SimOptions } from '../../src/simulate/sim-node.ts';
import { meetPlainPrimary, u64 } from '../support/sim-wire.ts';

const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);
const NAMES: readonly SimName[] = ['alpha', 'beta'];

async function joined(seed: number, options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(seed, options);
  await pair.join();
  return pair;
}

describe('A2: fullsync', () => {
  test.each(NAMES)(
    'every write that was covered by a FUA or a flush survives a power cut of %s alone',
    async (victim) => {
      for (let seed = 1; seed <= 12; seed++) {
        const pair = await joined(seed, { replication: 'fullsync', sizeBytes: 2 * 1024 * 1024 });
        const durable = new Map<number, number>();
        let covered: [number, number][] = [];
        for (let i = 0; i < 24; i++) {
          const at = 4096 * (1 + pair.random.below(100));
          durable.delete(at);
          covered = covered.filter(([other]) => other !== at);
          const fua = i % 3 === 0;
          pair.alpha.device?.write(at, block(i + 1), fua, (error) => {
            expect(error).toBeNull();
            if (fua) durable.set(at, i + 1);
            else covered.push([at, i + 1]);
          });
          await pair.clock.run(pair.random.next() * 4);
          if (i % 6 !== 5) continue;
          const before = new Set(covered);
          expect(await pair.alpha.flush()).toBeNull();
          for (const one of covered) if (before.has(one)) durable.set(...one);
        }
        const node = pair.node(victim);
        node.crash('power');
        expect(durable.size).toBeGreaterThan(8);
        for (const [at, byte] of durable)
          expect([seed, victim, at, node.data[at], node.data[at + 4095]]).toEqual([
            seed,
            victim,
            at,
            byte,
            byte,
          ]);
      }
    },
  );
});

describe('A6: a flush at a plain hastd', () => {
  test.each([
    [45, 'a provider without a cache says, is no failure: the link stays', false],
    [25, 'a file says, is no failure: the link stays', false],
    [5, 'a disk that lost it says, ends the link and leaves the extent dirty', true],
    [22, 'has nothing to do with flushing, ends the link and leaves the extent dirty', true],
  ])('answered with errno %i, which %s', async (errno, _, ends) => {
    const pair = new SimPair(52, { peerKind: 'hastd', replication: 'fullsync' });
    await pair.alpha.start();
    await pair.promote(pair.alpha, ['alpha']);
    const { one, two } = await meetPlainPrimary(pair);
    const failures: number[] = [];
    const answer = (): void => {
      for (const { nv } of one.frames.splice(0)) {
        const seq = nv.big('seq', 'uint64') ?? 0n;
        const isFlush = nv.number('cmd', 'uint8') === 4;
        if (isFlush) failures.push(errno);
        two.send([
          u64('seq', seq),
          ...(isFlush ? [{ name: 'error', type: 'int16', value: errno } as const] : []),
        ]);
      }
    };
    const work = pair.alpha.submit(0, block(1), true);
    await pair.clock.run(1000, () => {
      answer();
      return failures.length > 0 && one.closed !== null;
    });
    expect(failures.length).toBeGreaterThan(0);
    expect(one.closed === null).toBe(!ends);
    pair.net.nodeDied('beta', true);
    expect(await pair.clock.finish(work)).toBeNull();
    await pair.clock.run(50);
    expect((await pair.alpha.snapshot()).dirtyBytes).toBeGreaterThan(0);
  });
});
