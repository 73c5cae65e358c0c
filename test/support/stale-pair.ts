/** A pair whose primary lacks something that only its peer has. */
import { expect } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';

const EXTENT = 65536;
export const BLOCK = 4096;
export const MODES = ['fullsync', 'memsync', 'async'] as const;
export const block = (byte: number): Buffer => Buffer.alloc(BLOCK, byte);
export const at = (extent: number, index = 0): number => extent * EXTENT + index * BLOCK;

/** In sync, with nothing that waits for a flush. */
export async function joined(options: SimOptions = {}, seed = 61): Promise<SimPair> {
  const pair = new SimPair(seed, options);
  await pair.join();
  await pair.clock.run(3000);
  return pair;
}

/** Writes to these blocks fail at the local disk, also those of a repair. */
export function breakBlocks({ disk, dataOffset }: SimNode, ...blocks: readonly number[]): void {
  const hits = (offset: number, length: number): boolean =>
    blocks.some((one) => offset < dataOffset + one + BLOCK && offset + length > dataOffset + one);
  disk.faults.write = (offset, length) => (hits(offset, length) ? 'EIO' : null);
}

/** Extent 3 is stale, and stays so while its first block cannot be written. */
export async function stale(options: SimOptions = {}, seed = 61): Promise<SimPair> {
  const pair = await joined(options, seed);
  breakBlocks(pair.alpha, at(3));
  expect(await pair.alpha.write(at(3), block(2))).toBeNull();
  expect((await pair.alpha.snapshot()).record).toMatchObject({ state: 'inconsistent', inSync: ['beta'] });
  return pair;
}

export interface Watched {
  answer: string | null | undefined;
}

/** What became of a request so far; `then` runs in the moment in which it is acknowledged. */
export function watch(work: Promise<string | null>, then: () => void = () => undefined): Watched {
  const state: Watched = { answer: undefined };
  void work.then((answer) => {
    state.answer = answer;
    if (answer === null) then();
  });
  return state;
}

/** Does something when the peer's disk is asked for the first time to do `kind`. */
export function when(node: SimNode, kind: 'read' | 'write' | 'flush', then: () => void): void {
  node.disk.onOperation = (each) => {
    if (each !== kind) return;
    node.disk.onOperation = () => undefined;
    then();
  };
}

/** The peer is back, the local disk works, and both have everything. */
export async function mended(pair: SimPair): Promise<void> {
  const { alpha, beta, clock } = pair;
  alpha.disk.faults = {};
  beta.disk.onOperation = () => undefined;
  if (!beta.up) {
    await beta.start();
    await beta.run({ type: 'become-secondary' });
  }
  await clock.run(3000);
  await pair.untilInSync(beta);
  expect(alpha.data.equals(beta.data)).toBe(true);
}
