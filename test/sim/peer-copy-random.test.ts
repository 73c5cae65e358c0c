/** Random writes, local write errors, and a peer that loses its power or its link, again and again. */
import { describe, expect, test } from 'vitest';
import type { ReplicationMode } from '../../src/model/roles.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode } from '../../src/simulate/sim-node.ts';

const EXTENT = 65536;
const BLOCK = 4096;
const EXTENTS = 8;
const SECTOR = 512;

/** Blocks with what each may hold: what was acknowledged last, and what was asked and not acknowledged since. */
class Blocks {
  readonly may = new Map<number, Set<number>>();
  readonly busy = new Set<number>();
  acknowledged = 0;
  #stamp = 0;

  write(pair: SimPair): void {
    const { random, alpha } = pair;
    const at = random.below(EXTENTS) * EXTENT + random.below(3) * BLOCK;
    if (this.busy.has(at)) return;
    const mine = (this.#stamp = (this.#stamp % 250) + 1);
    this.busy.add(at);
    const before = this.may.get(at) ?? new Set([0]);
    this.may.set(at, new Set([...before, mine]));
    void alpha.submit(at, Buffer.alloc(BLOCK, mine), random.chance(0.1)).then((error) => {
      this.busy.delete(at);
      if (error !== null) return;
      this.may.set(at, new Set([mine]));
      this.acknowledged++;
    });
  }

  /** What a disk holds and may not, as text. */
  wrong(at: number, data: Buffer): string[] {
    const may = this.may.get(at) ?? new Set([0]);
    const found = new Set<number>();
    for (let i = 0; i < BLOCK; i += SECTOR) found.add(data[i] ?? -1);
    return [...found]
      .filter((byte) => !may.has(byte))
      .map(
        (byte) => `block ${at / BLOCK} of extent ${Math.floor(at / EXTENT)}: ${byte} not ${[...may].join()}`,
      );
  }
}

/** Ends in the midst of it, with the peer up or not. @param trouble in each round */
async function storm(
  seed: number,
  replication: ReplicationMode,
  trouble: (pair: SimPair) => Promise<void> | void = writesAndPower,
): Promise<[SimPair, Blocks]> {
  const pair = new SimPair(seed, { replication });
  await pair.join();
  const { alpha, beta, clock, random } = pair;
  const blocks = new Blocks();
  for (let round = 20 + random.below(40); round > 0; round--) {
    for (let i = random.below(6); i >= 0; i--) blocks.write(pair);
    if (random.chance(0.1)) alpha.device?.flush(() => undefined);
    if (random.chance(0.1)) pair.net.resetAll();
    await trouble(pair);
    await clock.run(random.next() * (random.chance(0.2) ? 3000 : 8));
    if (!beta.up && random.chance(0.7)) await back(beta);
  }
  return [pair, blocks];
}

function writesAndPower({ alpha, beta, random }: SimPair): void {
  const luck = random.next();
  if (luck < 0.2) {
    const from = alpha.dataOffset + random.below(EXTENTS) * EXTENT + random.below(3) * BLOCK;
    alpha.disk.faults.write = (at, length) => (at < from + BLOCK && at + length > from ? 'EIO' : null);
  } else if (luck < 0.35) alpha.disk.faults = {};
  if (random.chance(0.12) && beta.up) beta.crash('power');
}

/** What was written since the last flush is lost with one that fails, while both have it and the link may be cut. */
async function flushes({ alpha, clock, net, random }: SimPair): Promise<void> {
  const { record, dataLinkUp, dirtyBytes } = await alpha.snapshot();
  if (record.inSync.length < 2 || !dataLinkUp || dirtyBytes > 0 || random.chance(0.6)) return;
  alpha.disk.faults.loses = () => random.chance(0.7);
  alpha.disk.faults.flush = () => {
    alpha.disk.faults.flush = () => null;
    if (random.chance(0.5)) net.resetAll();
    return 'EIO';
  };
  clock.after(3, () => (alpha.disk.faults = {}));
  alpha.device?.flush(() => undefined);
}

async function back(beta: SimNode): Promise<void> {
  await beta.start();
  await beta.run({ type: 'become-secondary' });
}

async function wrongOn(node: SimNode, blocks: Blocks): Promise<string[]> {
  const wrong: string[] = [];
  for (const at of blocks.may.keys()) wrong.push(...blocks.wrong(at, await node.read(at, BLOCK)));
  return wrong;
}

const seeds = Array.from({ length: 15 }, (_, i) => i + 1);

/** Both have everything again. */
async function mend(pair: SimPair): Promise<void> {
  const { alpha, beta, clock } = pair;
  alpha.disk.faults = {};
  if (!beta.up) await back(beta);
  await clock.run(5000);
  await pair.untilInSync(beta);
  expect(alpha.data.equals(beta.data)).toBe(true);
}

describe.each(['fullsync', 'memsync', 'async'] as const)('%s loses nothing acknowledged', (mode) => {
  test.each(seeds)('when both have everything again, seed %i', async (seed) => {
    const [pair, blocks] = await storm(seed, mode);
    await mend(pair);
    expect(await wrongOn(pair.alpha, blocks)).toEqual([]);
    expect(blocks.acknowledged).toBeGreaterThan(5);
  });

  test.each(seeds)('when the primary loses its power and the peer may take over, seed %i', async (seed) => {
    const [pair, blocks] = await storm(seed + 5000, mode);
    const { alpha, beta } = pair;
    const { inSync } = (await alpha.snapshot()).record;
    // The one that the record leaves alone has everything durably, otherwise it has it in memory.
    const durable = inSync.length === 1 && inSync[0] === 'beta';
    const candidate = inSync.length === 2 && beta.up && (await beta.snapshot()).freshness.kind === 'inSync';
    if (!durable && (!candidate || mode === 'async')) return;
    alpha.crash('power');
    if (durable && beta.up && pair.random.chance(0.7)) beta.crash('power');
    if (!beta.up) await back(beta);
    await pair.promote(beta, ['beta']);
    expect(await wrongOn(beta, blocks)).toEqual([]);
  });
});

// An asynchronous primary acknowledges what nobody else has yet.
describe.each(['fullsync', 'memsync'] as const)('%s loses nothing acknowledged', (mode) => {
  test.each(seeds)('when local flushes fail beside links that are cut, seed %i', async (seed) => {
    const [pair, blocks] = await storm(seed, mode, flushes);
    await mend(pair);
    expect(await wrongOn(pair.alpha, blocks)).toEqual([]);
    expect(blocks.acknowledged).toBeGreaterThan(5);
  });
});
