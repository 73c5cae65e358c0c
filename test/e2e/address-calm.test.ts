/** Ten addresses at 100 ms beside busy loops and stalls: nothing fails over wrongly, and nobody stays a second master. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { BRIDGE_NEEDS, BridgeLab } from '../support/bridge-lab.ts';
import { BusyLoops } from '../support/busy-loops.ts';
import { needs } from '../support/needs.ts';
import type { Talker } from '../support/talker.ts';
import { machineNow, type Timeline } from '../support/timeline.ts';

const ADVERT_MS = 100;
const INSTANCES = 10;
const FIRST_ID = 7;
const IDS = Array.from({ length: INSTANCES }, (_, index) => FIRST_ID + index);
const PRIORITY = { a: 150, b: 100 } as const;
/** Of the worse one: three adverts and its skew. */
const DOWN_MS = 3 * ADVERT_MS + ((256 - PRIORITY.b) * ADVERT_MS) / 256;
const WAIT_MS = 20_000;
/** Adverts of each address beside the loops. */
const SOAK_ROUNDS = 40;

describe.skipIf(needs(...BRIDGE_NEEDS))('a pair of ten addresses', () => {
  let lab: BridgeLab;
  let line: Timeline;
  let nodes: Readonly<Record<'a' | 'b', Talker>>;
  let from = 0;
  beforeAll(async () => {
    lab = await BridgeLab.make();
    line = await lab.watch('10.78.0.100');
    const start = (side: 'a' | 'b'): Talker =>
      lab.carpNode(side, {
        ...{
          vhid: FIRST_ID,
          instances: INSTANCES,
          password: '',
          addresses: ['10.78.0.100/24'],
          preempt: true,
        },
        election: { protocol: 'vrrp3', priority: PRIORITY[side], intervalMs: ADVERT_MS, downAdverts: 3 },
      });
    const a = start('a');
    await line.until('led', () => elections(a) === 2 * INSTANCES && line.holds('a'), WAIT_MS);
    const b = start('b');
    await line.until('followed', () => elections(b) === INSTANCES, WAIT_MS);
    nodes = { a, b };
  });
  beforeEach(() => {
    from = machineNow();
  });
  afterAll(() => lab.close());

  const elections = (node: Talker): number =>
    node.lines.filter((text) => text.startsWith('{"state":')).length;
  /** Ids for which that side spoke so often since then. */
  const heard = (side: 'a' | 'b', since: number, rounds = 1): number[] => {
    const counts = new Map<number, number>();
    for (const { id } of line.spoken(side, since)) counts.set(id, (counts.get(id) ?? 0) + 1);
    return IDS.filter((id) => (counts.get(id) ?? 0) >= rounds);
  };
  /** Since then the better one spoke so often for each of its addresses. */
  const spoken = (since: number, rounds: number): Promise<unknown> =>
    line.until('spoken', () => heard('a', since, rounds).length === INSTANCES, WAIT_MS);
  /**
   * Ids that b took over although the adverts of a went on, or for which a was never heard. A master that got no
   * processor is rightly replaced.
   */
  const wronglyTaken = (): number[] =>
    IDS.filter((id) => {
      const first = line.spoken('b', from).find((advert) => advert.id === id);
      if (first === undefined) return false;
      const last = line.spoken('a', 0, first.at).findLast((advert) => advert.id === id);
      return first.at - (last?.at ?? first.at) < DOWN_MS - ADVERT_MS;
    });
  const stall = async (node: Talker, ms: number, times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1) {
      const seen = node.lines.length;
      node.write(`stall ${ms}\n`);
      await node.line((text) => text.startsWith('{"stalled"'), WAIT_MS, seen);
      await spoken(machineNow(), 2);
    }
  };

  it('fails nothing over beside eight busy loops while the master speaks', async () => {
    const loops = new BusyLoops(8, WAIT_MS);
    await spoken(from, SOAK_ROUNDS).finally(() => loops.stop());
    expect(wronglyTaken()).toEqual([]);
  });

  it('fails nothing over when the backup’s event loop stands still for 500 ms again and again', async () => {
    await stall(nodes.b, 500, 4);
    expect(wronglyTaken()).toEqual([]);
  });

  it('fails nothing over when the master stands still for less than its backup waits less one advert', async () => {
    await stall(nodes.a, Math.floor(DOWN_MS - ADVERT_MS) - 100, 4);
    expect(wronglyTaken()).toEqual([]);
  });

  it('moves when the master stands still for longer, and has one master again', async () => {
    // So whatever b had taken over before would have been seen.
    for (let n = 0; n < 5 && heard('b', from).length < INSTANCES; n += 1) await stall(nodes.a, 1000, 1);
    expect(heard('b', from)).toEqual(IDS);
    const settled = (): boolean => {
      const said = line.spoken('b', from).at(-1)?.at ?? 0;
      return line.holds('a') && !line.holds('b') && line.answering === 'a' && machineNow() - said > DOWN_MS;
    };
    await line.until('led by the better one alone', settled, WAIT_MS);
  });
});
