/** A primary beside a plain hastd that loses its power and, as hastds do, does not say what it lost. */
import { expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import { meetPlainPrimary, u64 } from '../support/sim-wire.ts';

const EXTENT = 65536;

/** One life of a hastd: meets its primary, answers everything at once, and keeps the offsets of what it wrote. */
async function live(pair: SimPair): Promise<{ readonly written: number[]; answer: () => void }> {
  const { one, two } = await meetPlainPrimary(pair);
  const written: number[] = [];
  const answer = (): void => {
    for (const { nv } of one.frames.splice(0)) {
      const seq = nv.big('seq', 'uint64');
      if (seq === undefined) continue;
      if (nv.number('cmd', 'uint8') === 2) written.push(Number(nv.big('offset', 'uint64')));
      two.send([u64('seq', seq)]);
    }
  };
  return { written, answer };
}

test('what it answered in an earlier life, while the local disk was busy with it, is copied to it again', async () => {
  const pair = new SimPair(53, { peerKind: 'hastd', replication: 'fullsync' });
  const { alpha, clock, net } = pair;
  await alpha.start();
  await pair.promote(alpha, ['alpha']);
  const first = await live(pair);
  await clock.run(100, () => alpha.seen?.dataLinkUp === true);
  alpha.disk.onOperation = (kind) => {
    alpha.disk.latencyMs = kind === 'write' ? 8000 : 0.3;
  };
  const write = alpha.submit(5 * EXTENT, Buffer.alloc(4096, 5));
  await clock.run(50, () => {
    first.answer();
    return first.written.length > 0;
  });
  await clock.run(10);
  alpha.disk.onOperation = () => undefined;
  alpha.disk.latencyMs = 0.3;
  net.nodeDied('beta', true);
  const second = await live(pair);
  let answer: string | null | undefined;
  void write.then((error) => (answer = error));
  const copied = await clock.run(30_000, () => {
    second.answer();
    return second.written.includes(5 * EXTENT);
  });
  expect([first.written, answer, copied]).toEqual([[5 * EXTENT], null, true]);
});
