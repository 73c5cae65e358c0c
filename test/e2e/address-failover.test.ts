import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { type AddressPair, settled, SIDE_OF, startAddressPair } from '../support/address-pair.ts';
import { BRIDGE_NEEDS } from '../support/bridge-lab.ts';
import { groupOf, type LabDaemon, type LabNode } from '../support/daemon.ts';
import { journalOf, serves } from '../support/failover.ts';
import { needs } from '../support/needs.ts';
import { machineNow } from '../support/timeline.ts';

const ADVERT_MS = 100;
const WAIT_MS = 20_000;

describe.skipIf(needs(...BRIDGE_NEEDS))('the address of a pair of nodes', () => {
  let pair: AddressPair;
  let at: LabNode = 'hasta';
  let primary: LabDaemon;
  let standby: LabDaemon;

  beforeAll(async () => {
    pair = await startAddressPair({ advertMs: ADVERT_MS });
  });
  beforeEach(async () => {
    ({ primary, standby } = await settled(pair, at));
  });
  afterEach(async () => {
    primary.signal('SIGCONT');
    await pair.bridge.heal(sides().old, 'lan0', 'data0');
    if (!primary.running) primary.start();
  });
  afterAll(() => pair.close());

  /** @returns when the other one answered */
  const moved = async (from: number): Promise<number> => {
    const side = SIDE_OF[standby.node];
    await pair.line.until(`answered by ${side}`, () => pair.line.firstAnswer(side, from) !== null, WAIT_MS);
    at = standby.node;
    await standby.untilPrimary('storage');
    return pair.line.firstAnswer(side, from)?.at ?? Infinity;
  };
  const sides = () => ({ old: SIDE_OF[primary.node], next: SIDE_OF[standby.node] });
  /** What the new primary noted since, in order, of those kinds and states. */
  const story = async (since: string, ...parts: readonly string[]): Promise<string[]> => {
    const events = (await journalOf(standby)).filter(({ time }) => time >= since);
    const said = events.map(({ kind, message }) => `${kind} ${message}`);
    return said.flatMap((text) => parts.filter((part) => text.includes(part)));
  };

  it('moves when the daemon is killed, as soon as that is certain and the disk is primary, and is taken off the dead node', async () => {
    const since = new Date().toISOString();
    const from = machineNow();
    await primary.kill();
    await moved(from);
    const order = ['peer.dead', 'promoting.recording', 'primary.raisingAddress', 'address.up'];
    expect(new Set(await story(since, ...order))).toEqual(new Set(order));
    expect((await story(since, 'primary.raisingAddress', 'address.up')).at(-1)).toBe('address.up');
    // Silence alone would have been counted for longer.
    expect(await story(since, 'is silent on every path', 'master silent')).toEqual([]);
    const { old } = sides();
    await pair.line.until('taken off', () => !pair.line.holds(old), WAIT_MS);
  });

  it('is handed over in good order when the daemon stops: off here, a good-bye, on there', async () => {
    const { old, next } = sides();
    const from = machineNow();
    await primary.stop();
    await moved(from);
    const goodbye = pair.line.adverts.find(
      ({ side, at: when, goodbye: bye }) => side === old && bye && when > from,
    );
    const [off = Infinity] = pair.line.turns(old, false, from);
    const [on = 0] = pair.line.turns(next, true, from);
    expect(off).toBeLessThan(goodbye?.at ?? 0);
    expect(off).toBeLessThan(on);
    expect(pair.line.bothHeld(from)).toBe(0);
    // A good-bye is the last word.
    expect(pair.line.spoken(old, goodbye?.at)).toEqual([]);
  });

  it('moves when the host vanishes from both links, and the two never meet as masters', async () => {
    const { old, next } = sides();
    const from = machineNow();
    await pair.bridge.cut(old, 'lan0', 'data0');
    await moved(from);
    await primary.until(
      'stepped down',
      (status) => !serves(status) && !groupOf(status, 'storage').address?.up,
    );
    // The watch over its link may be behind its own words.
    await pair.line.until('seen to be off', () => !pair.line.holds(old), WAIT_MS);
    const healedAt = machineNow();
    await pair.bridge.heal(old, 'lan0', 'data0');
    await settled(pair, at);
    expect(pair.line.bothHeld(healedAt)).toBe(0);
    expect(pair.line.turns(next, false, from)).toEqual([]);
    expect(atOnce(pair, healedAt)).toBeLessThanOrEqual(1);
  });

  it('moves when the daemon stands still, and is not fought for when it wakes up', async () => {
    const { old } = sides();
    const from = machineNow();
    primary.signal('SIGSTOP');
    await moved(from);
    const wokenAt = machineNow();
    primary.signal('SIGCONT');
    await settled(pair, at);
    expect(atOnce(pair, wokenAt)).toBeLessThanOrEqual(1);
    expect(pair.line.holds(old)).toBe(false);
    expect((await journalOf(standby)).filter(({ kind }) => kind.endsWith('.split-brain'))).toEqual([]);
  });
});

/** Adverts of one side that stand between two of the other, since then: 1 may have crossed on the way. */
function atOnce({ line }: AddressPair, from: number): number {
  const said = line.adverts.filter(({ at, goodbye }) => at >= from && !goodbye);
  const turns = said.filter(({ side }, index) => index > 0 && side !== said[index - 1]?.side);
  return Math.floor(turns.length / 2);
}
