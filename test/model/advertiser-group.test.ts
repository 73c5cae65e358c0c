import { describe, expect, it } from 'vitest';

import { AT, backup, refusing, rx, serving, wanted } from '../support/advertisers.ts';

describe('a BACKUP whose group cannot follow', () => {
  it('never becomes MASTER and sends nothing, but leads as soon as the group can', async () => {
    const { lan, node } = backup({ eligible: false, preempt: true });
    await lan.pass(20_000);
    node.send(rx(255, 255));
    expect(node.where()).toBe('BACKUP.silent');
    expect(node.effects).toEqual(['INIT -> BACKUP: started']);
    node.send({ type: 'GROUP.ELIGIBLE' });
    await lan.settle();
    node.states.toVisit([AT.waiting, 'BACKUP.draining', 'BACKUP.silent', 'BACKUP.draining', AT.wanted]);
    expect(node.effects).toContain('advert 1/0 first');
  });

  it('notices that somebody else took over in the meantime', async () => {
    const { lan, node } = backup({ eligible: false });
    await lan.pass(4000);
    node.send(rx(1, 100));
    node.send({ type: 'GROUP.ELIGIBLE' });
    await lan.settle();
    expect(node.where()).toBe(AT.waiting);
  });

  it('does not preempt', () => {
    const { node } = backup({ eligible: false, preempt: true });
    node.send(rx(1, 200));
    expect(node.where()).toBe(AT.waiting);
  });

  it('leads at once when the group is primary nevertheless', async () => {
    const { lan, node } = backup({ eligible: false });
    node.send({ type: 'GROUP.PROMOTED' });
    await lan.settle();
    node.states.toVisit([AT.waiting, AT.raising, AT.serving]);
    expect(node.effects).toContain('advert 1/240 first');
  });
});

describe('a MASTER and its group', () => {
  it('waits for the group with the address down, however long it takes', async () => {
    const { lan, node } = await wanted();
    await lan.pass(10_000);
    expect(node.where()).toBe(AT.wanted);
    expect(node.addressUp).toBe(false);
    expect(node.effects).toEqual(Array.from({ length: 10 }, () => 'advert 1/0'));
  });

  it('puts the address up, announces it and says so when the group is primary', async () => {
    const { lan, node } = await wanted();
    node.send({ type: 'GROUP.PROMOTED' });
    await lan.settle();
    node.states.toVisit([AT.wanted, AT.raising, AT.serving]);
    expect(node.effects).toEqual(['add...', 'announce', 'address up']);
    await lan.pass(2000);
    expect(node.effects.filter((effect) => effect === 'announce')).toHaveLength(2);
  });

  it('tries again and says why when the address cannot be added', async () => {
    const { lan, node } = await wanted();
    node.next.add = refusing('no such interface');
    node.send({ type: 'GROUP.PROMOTED' });
    await lan.settle();
    expect(node.effects).toEqual(['add...', 'address add-failed: no such interface']);
    await lan.pass(1000);
    expect(node.where()).toBe(AT.serving);
  });

  it('lowers the address first and bows out only when the group has let go', async () => {
    const { lan, node } = await serving();
    node.send({ type: 'GROUP.DEMOTING', rival: false });
    await lan.pass(1500);
    expect(node.addressUp).toBe(false);
    expect(node.where()).toBe('MASTER.adverts.sending+address.yielding');
    expect(node.effects).toEqual(['remove...', 'address down', 'advert 1/0']);
    node.effects.splice(0);
    node.send({ type: 'GROUP.HOLD' });
    expect(node.where()).toBe('MASTER.adverts.sending+address.yielding');
    node.send({ type: 'GROUP.RELEASED' });
    await lan.pass(20);
    expect(node.effects).toEqual(['bow-out', 'bow-out', 'MASTER -> BACKUP: group released']);
  });

  it('speaks no more once the address is gone when another node may lead, until the group may lead again', async () => {
    const { lan, node } = await serving();
    node.send({ type: 'GROUP.DEMOTING', rival: true });
    await lan.pass(40);
    expect(node.addressUp).toBe(false);
    const left = ['bow-out', 'bow-out', 'MASTER -> BACKUP: another node may lead'];
    expect(node.effects.splice(0)).toEqual(['remove...', 'address down', ...left]);
    // Nobody is heard for long, and the services here take their time.
    await lan.pass(60_000);
    node.send({ type: 'GROUP.RELEASED' });
    await lan.pass(60_000);
    expect(node.effects).toEqual([]);
    node.send({ type: 'GROUP.ELIGIBLE' });
    await lan.pass(10);
    expect(node.where()).toBe(AT.wanted);
  });

  it('keeps lowering until the address is gone', async () => {
    const { lan, node } = await serving();
    node.next.remove = refusing('busy');
    node.send({ type: 'GROUP.DEMOTING', rival: false });
    await lan.settle();
    expect(node.effects).toEqual(['remove...', 'address remove-failed: busy']);
    await lan.pass(1000);
    expect(node.addressUp).toBe(false);
    expect(node.where()).toBe('MASTER.adverts.sending+address.yielding');
  });

  it('bows out and holds off for longer each time when the group cannot become primary', async () => {
    const { lan, node } = await wanted({ holdBaseMs: 2000 });
    for (const holdMs of [2000, 4000, 8000]) {
      node.send({ type: 'GROUP.DEMOTED', reason: 'mount failed' });
      await lan.pass(20);
      expect(node.where()).toBe('BACKUP.holding');
      expect(node.effects.splice(0)).toEqual(['bow-out', 'bow-out', 'MASTER -> BACKUP: mount failed']);
      await lan.pass(holdMs - 5);
      expect(node.where()).toBe('BACKUP.holding');
      await lan.pass(5 + 3000);
      expect(node.where()).toBe(AT.wanted);
      node.effects.splice(0);
    }
  });

  it('holds off no longer when an operator says so, and as little as the first time if it fails again', async () => {
    const { lan, node } = await wanted({ holdBaseMs: 60_000 });
    node.send({ type: 'GROUP.DEMOTED', reason: 'mount failed' });
    await lan.pass(20);
    expect(node.where()).toBe('BACKUP.holding');
    node.send({ type: 'HOLD.CLEAR' });
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(4000);
    expect(node.where()).toBe(AT.wanted);
    node.send({ type: 'GROUP.DEMOTED', reason: 'mount failed' });
    await lan.pass(20 + 60_000);
    expect(node.where()).toBe(AT.waiting);
  });

  it('bows out when it must not lead and has nothing', async () => {
    const { lan, node } = await wanted();
    node.send({ type: 'GROUP.HOLD' });
    await lan.pass(20);
    expect(node.effects).toEqual(['bow-out', 'bow-out', 'MASTER -> BACKUP: group cannot follow']);
  });

  it('stays and says that it is worse when it holds the group', async () => {
    const { node } = await serving();
    node.send({ type: 'GROUP.HOLD' });
    node.send({ type: 'GROUP.ELIGIBLE' });
    expect(node.where()).toBe(AT.serving);
    expect(node.effects).toEqual(['advert 1/240', 'advert 1/0']);
  });

  it('takes the address away again when it was still going up', async () => {
    const { lan, node } = await wanted();
    let finish: (value?: unknown) => void = () => undefined;
    node.next.add = () => new Promise((resolve) => (finish = resolve));
    node.send({ type: 'GROUP.PROMOTED' });
    node.send(rx(0, 1));
    await lan.settle();
    finish();
    await lan.settle();
    expect(node.effects).toEqual(['add...', 'remove...', 'address down', 'MASTER -> BACKUP: better master']);
    expect(node.where()).toBe(AT.waiting);
  });

  it('comes back at once when the group is promoted while it leaves', async () => {
    const { lan, node } = await serving();
    node.send(rx(0, 1));
    node.send({ type: 'GROUP.PROMOTED' });
    await lan.settle();
    expect(node.where()).toBe(AT.serving);
    expect(node.addressUp).toBe(true);
  });
});
