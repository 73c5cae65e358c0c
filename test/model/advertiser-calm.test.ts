import { describe, expect, it } from 'vitest';

import { AT, backup, rx, rxOf, serving, wanted } from '../support/advertisers.ts';
import type { Advertiser, Segment } from '../support/advertisers.ts';

/** Loses the election to a better MASTER that falls silent at once, and wins again. */
async function loseAndWin(lan: Segment, node: Advertiser): Promise<void> {
  node.send(rx(0, 1));
  await lan.pass(4000);
}

describe('a node whose elections come too often', () => {
  const nervous = { flapBudget: 4, flapWindowMs: 60_000, flapHoldMs: 8000 };

  it('is held back in BACKUP, said aloud, for twice as long the next time', async () => {
    const { lan, node } = await wanted(nervous);
    await loseAndWin(lan, node);
    expect(node.where()).toBe(AT.wanted);
    await loseAndWin(lan, node);
    expect(node.where()).toBe(AT.wanted);
    node.effects.splice(0);
    for (const holdMs of [8000, 16_000]) {
      node.send(rx(0, 1));
      await lan.settle();
      expect(node.where()).toBe('BACKUP.flapping');
      expect(node.effects.at(-1)).toMatch(new RegExp(`flapping: \\d, held for ${holdMs} ms`));
      await lan.pass(holdMs - 100);
      expect(node.where()).toBe('BACKUP.flapping');
      await lan.pass(100 + 3005);
      expect(node.where()).toBe(AT.wanted);
    }
  });

  it('is let go by an operator, and by time when it has been calm', async () => {
    const { lan, node } = await wanted(nervous);
    for (let n = 0; n < 2; n += 1) await loseAndWin(lan, node);
    node.send(rx(0, 1));
    await lan.settle();
    node.send({ type: 'HOLD.CLEAR' });
    expect(node.where()).toBe(AT.waiting);
    expect(node.actor.getSnapshot().context).toMatchObject({ flaps: 0, flapHolds: 0 });
    await lan.pass(3005);
    await loseAndWin(lan, node);
    expect(node.actor.getSnapshot().context.flaps).toBe(3);
    await lan.pass(61_000);
    expect(node.actor.getSnapshot().context.flaps).toBe(0);
  });

  it('keeps its address all the same while its group is primary', async () => {
    const { lan, node } = await wanted(nervous);
    for (let n = 0; n < 2; n += 1) await loseAndWin(lan, node);
    node.send(rx(0, 1));
    await lan.settle();
    node.send({ type: 'GROUP.PROMOTED' });
    await lan.settle();
    expect(node.where()).toBe(AT.serving);
  });

  it('may have any number of them without a budget, and planned ones with it', async () => {
    const { lan, node } = await wanted({ flapBudget: 0 });
    for (let n = 0; n < 6; n += 1) await loseAndWin(lan, node);
    expect(node.where()).toBe(AT.wanted);
    const planned = await wanted({ flapBudget: 1, flapWindowMs: 600_000 });
    for (let n = 0; n < 3; n += 1) {
      planned.node.send({ type: 'GROUP.PROMOTED' });
      planned.node.send({ type: 'GROUP.RELEASED' });
      await planned.lan.pass(30);
    }
    expect(planned.node.where()).toBe(AT.waiting);
  });
});

describe('a link', () => {
  it('that is down for less than its delay was never down', async () => {
    const { lan, node } = await serving({ linkDownDelayMs: 500 });
    node.send({ type: 'LINK.DOWN' });
    await lan.pass(495);
    node.send({ type: 'LINK.UP' });
    await lan.pass(5000);
    node.states.toVisit([AT.serving]);
    node.send({ type: 'LINK.DOWN' });
    await lan.pass(500);
    expect(node.where()).toBe('INIT');
  });

  it('that comes back must stay for its delay', async () => {
    const { lan, node } = backup({ linkUp: false, linkUpDelayMs: 1000 });
    node.send({ type: 'LINK.UP' });
    await lan.pass(900);
    node.send({ type: 'LINK.DOWN' });
    await lan.pass(900);
    node.send({ type: 'LINK.UP' });
    await lan.pass(995);
    expect(node.where()).toBe('INIT');
    await lan.pass(5);
    expect(node.where()).toBe(AT.waiting);
  });
});

describe('after an election', () => {
  it('a loser does not preempt before its time, but takes over from silence', async () => {
    const { lan, node } = await wanted({ preempt: true, minBackupMs: 10_000 });
    node.send(rx(0, 1));
    await lan.settle();
    for (let n = 0; n < 9; n += 1) {
      node.send(rx(1, 100));
      await lan.pass(1000);
      expect(node.where()).toBe(AT.waiting);
    }
    await lan.pass(1000);
    node.send(rx(1, 100));
    expect(node.where()).toBe(AT.wanted);
    node.send(rx(0, 1));
    await lan.pass(3300);
    expect(node.where()).toBe(AT.wanted);
  });

  it('a winner is no worse by tracking before its time, but by its disks at once', async () => {
    const { lan, node } = await wanted({ minMasterMs: 10_000 });
    node.send({ type: 'DEMOTE', by: 'track:ping gateway', amount: 50 });
    node.send({ type: 'DEMOTE', by: 'senderr', amount: 10 });
    expect(node.effects).toEqual(['advert 1/0', 'advert 1/10']);
    await lan.pass(10_000);
    expect(node.effects.at(-1)).toBe('advert 1/60');
  });
});

describe('members of a sync group', () => {
  it('are elected with one and lost with one', async () => {
    const { lan, node } = backup();
    node.send({ type: 'SYNC.LEAD' });
    expect(node.where()).toBe(AT.wanted);
    node.send({ type: 'SYNC.YIELD', reason: 'other lost' });
    await lan.pass(25);
    expect(node.where()).toBe(AT.waiting);
    expect(node.effects.slice(-3)).toEqual(['bow-out', 'bow-out', 'MASTER -> BACKUP: other lost']);
  });

  it('do not lead where the group cannot follow', () => {
    const { node } = backup({ eligible: false });
    node.send({ type: 'SYNC.LEAD' });
    expect(node.where()).toBe(AT.waiting);
  });
});

describe('beside OpenBSD', () => {
  const demoted = (demote: number, advskew = 0) => rxOf({ protocol: 'carp', advbase: 1, advskew, demote }, 0);

  it('a MASTER that is more demoted is replaced, preempt or not', () => {
    const { node } = backup({ advskew: 50 });
    node.send(demoted(1));
    expect(node.where()).toBe(AT.wanted);
  });

  it('a MASTER that is less demoted is not preempted, and ours says how demoted it is', async () => {
    const { lan, node } = backup({ mode: 'openbsd', preempt: true });
    node.send({ type: 'DEMOTE', by: 'track:a', amount: 1 });
    node.send(demoted(0, 200));
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(3005);
    expect(node.effects).toContain('advert 1/1 demoted 1 first');
  });
});
