import { describe, expect, it } from 'vitest';

import { AT, backup, rxOf, rxVrrp, segment, serving } from '../support/advertisers.ts';
import type { Advertiser, NodeInput, Segment } from '../support/advertisers.ts';

const node100: NodeInput = { vrrp: { priority: 100 } };
/** 3 adverts and (256 - 100) / 256 of one. */
const DOWN_100 = 3609.375;

describe('a VRRP node that starts', () => {
  it('waits three adverts and its skew, then speaks before anything else', async () => {
    const { lan, node } = backup(node100);
    await lan.pass(DOWN_100 - 5);
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(10);
    expect(node.effects.slice(1)).toEqual(['advert prio 100 first', 'BACKUP -> MASTER: master silent']);
  });

  it('is MASTER at once as owner of the addresses, but its address waits for the group', async () => {
    const { lan, node } = backup({ vrrp: { priority: 255 } });
    node.states.toVisit([AT.wanted]);
    expect(node.effects).toEqual(['advert prio 255 first', 'INIT -> MASTER: owner of the addresses']);
    await lan.pass(5000);
    expect(node.addressUp).toBe(false);
  });

  it('waits as owner, too, until its group can follow', () => {
    const { node } = backup({ vrrp: { priority: 255 }, eligible: false });
    expect(node.where()).toBe(AT.waiting);
    node.send({ type: 'GROUP.ELIGIBLE' });
    expect(node.where()).toBe(AT.wanted);
  });
});

describe('a VRRP BACKUP', () => {
  it('waits by the pace of the MASTER that it follows', async () => {
    const { lan, node } = backup(node100);
    node.send(rxVrrp(150, 0, '10.0.0.9', 100));
    await lan.pass(355);
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(10);
    expect(node.where()).toBe(AT.wanted);
  });

  it('follows a good-bye after its skew', async () => {
    const { lan, node } = backup(node100);
    node.send(rxVrrp(150));
    node.send(rxVrrp(0));
    expect(node.where()).toBe('BACKUP.succeeding');
    await lan.pass(605);
    expect(node.where()).toBe('BACKUP.succeeding');
    await lan.pass(5);
    expect(node.where()).toBe(AT.wanted);
  });

  it('stays BACKUP when somebody else was faster than it after a good-bye', async () => {
    const { lan, node } = backup(node100);
    node.send(rxVrrp(0));
    await lan.pass(300);
    node.send(rxVrrp(120));
    await lan.pass(3600);
    expect(node.where()).toBe(AT.waiting);
  });

  it('does not preempt a worse MASTER unless told to, and then lets its own time run out', async () => {
    for (const preempt of [false, true]) {
      const { lan, node } = backup({ ...node100, preempt });
      for (let at = 0; at < 4000; at += 1000) {
        node.send(rxVrrp(50, at));
        expect(node.where()).toBe(AT.waiting);
        await lan.pass(1000);
      }
      expect(node.where()).toBe(preempt ? AT.wanted : AT.waiting);
    }
  });

  it('does not preempt while the delay runs, which only a worse MASTER starts', async () => {
    const { lan, node } = backup({ ...node100, preempt: true, preemptDelayMs: 5000 });
    node.send(rxVrrp(150, 0));
    for (let at = 1000; at <= 6000; at += 1000) {
      node.send(rxVrrp(50, at));
      await lan.pass(1000);
      expect(node.where()).toBe(AT.waiting);
    }
    node.send(rxVrrp(50, 7000));
    await lan.pass(DOWN_100);
    expect(node.where()).toBe(AT.wanted);
  });

  it('never delays where nobody is MASTER', async () => {
    const { lan, node } = backup({ ...node100, preempt: true, preemptDelayMs: 60_000 });
    await lan.pass(DOWN_100 + 5);
    expect(node.where()).toBe(AT.wanted);
  });

  it('starts the delay anew after a fault, and does not preempt after one when it must not', async () => {
    const { lan, node } = backup({ ...node100, preempt: true, preemptDelayMs: 3000 });
    for (let at = 0; at <= 2000; at += 1000) node.send(rxVrrp(50, at));
    node.send({ type: 'FAULT', by: 'ping gateway' });
    expect(node.where()).toBe('INIT');
    node.send({ type: 'FAULT.OVER', by: 'ping gateway' });
    node.send(rxVrrp(50, 3000));
    expect(node.actor.getSnapshot().context.worseSince).toBe(3000);
    node.send({ type: 'CONFIGURE', settings: { preempt: false } });
    for (let at = 4000; at <= 20_000; at += 1000) {
      node.send(rxVrrp(50, at));
      await lan.pass(1000);
    }
    expect(node.where()).toBe(AT.waiting);
  });

  it('is preempted by reloaded settings without a restart', async () => {
    const { lan, node } = backup(node100);
    node.send({ type: 'CONFIGURE', settings: { preempt: true } });
    for (let at = 0; at <= 4000; at += 1000) {
      node.send(rxVrrp(50, at));
      await lan.pass(1000);
    }
    expect(node.where()).toBe(AT.wanted);
  });
});

describe('a VRRP MASTER', () => {
  it.each([
    ['a better one', rxVrrp(101), AT.waiting],
    ['an equal one with a greater address', rxVrrp(100, 0, '10.0.0.10'), AT.waiting],
    ['an equal one with a lower address', rxVrrp(100, 0, '10.0.0.0'), AT.serving],
    ['a worse one', rxVrrp(99), AT.serving],
    ['an advert of CARP', rxOf({ protocol: 'carp', advbase: 0, advskew: 1, demote: 0 }), AT.serving],
  ])('that hears %s ends in %3$s', async (_what, heard, where) => {
    const { lan, node } = await serving({ ...node100, selfAddress: '10.0.0.1' });
    node.send(heard);
    await lan.settle();
    expect(node.where()).toBe(where);
  });

  it('answers a worse one and a good-bye at once', async () => {
    const { node } = await serving(node100);
    node.send(rxVrrp(99, 10_000));
    node.send(rxVrrp(99, 10_100));
    expect(node.effects).toEqual(['advert prio 100', 'announce']);
    node.send(rxVrrp(0, 10_200));
    expect(node.effects.slice(2)).toEqual(['advert prio 100', 'announce']);
  });

  it('says good-bye once when stopped', async () => {
    const { lan, node } = await serving(node100);
    node.send({ type: 'ADMIN.STOP' });
    await lan.pass(100);
    expect(node.effects).toEqual(['remove...', 'address down', 'bow-out', 'MASTER -> INIT: stopped']);
  });

  it('leaves with a good-bye when something is missing, and comes back as BACKUP', async () => {
    const { lan, node } = await serving(node100);
    node.send({ type: 'FAULT', by: 'process nginx' });
    await lan.settle();
    expect(node.effects).toEqual([
      'remove...',
      'address down',
      'bow-out',
      'MASTER -> INIT: fault: process nginx',
    ]);
    node.send({ type: 'FAULT', by: 'ping gateway' });
    node.send({ type: 'FAULT.OVER', by: 'process nginx' });
    expect(node.where()).toBe('INIT');
    node.send({ type: 'FAULT.OVER', by: 'ping gateway' });
    expect(node.where()).toBe(AT.waiting);
  });

  it('is as good as its priority less its contributions, between 1 and 254, and as owner always 255', async () => {
    const { node } = await serving(node100);
    node.send({ type: 'DEMOTE', by: 'track:a', amount: 30 });
    node.send({ type: 'DEMOTE', by: 'track:b', amount: -200 });
    node.send({ type: 'DEMOTE', by: 'track:b', amount: 240 });
    expect(node.effects).toEqual(['advert prio 70', 'advert prio 254', 'advert prio 1']);
    const owner = backup({ vrrp: { priority: 255 } }).node;
    owner.send({ type: 'DEMOTE', by: 'track:a', amount: 30 });
    expect(owner.effects.at(-1)).toBe('advert prio 255');
  });
});

describe('VRRP nodes on one segment', () => {
  const isMaster = (node: Advertiser): boolean => node.where().startsWith('MASTER');
  const start = (lan: Segment, name: string, input: NodeInput): Advertiser => {
    const node = lan.add(name, input);
    node.autoPromote = true;
    node.send({ type: 'ADMIN.START' });
    return node;
  };

  it('elect the best of three and hand over to the next best within its skew', async () => {
    const lan = segment();
    const nodes = [150, 100, 50].map((priority, index) =>
      start(lan, `10.0.0.${index + 1}`, { vrrp: { priority } }),
    );
    await lan.pass(10_000);
    expect(nodes.map(isMaster)).toEqual([true, false, false]);
    nodes[0]?.send({ type: 'ADMIN.STOP' });
    await lan.pass(620);
    expect(nodes.map(isMaster)).toEqual([false, true, false]);
  });

  it('settle on the greater address when their priorities are equal', async () => {
    const lan = segment();
    const nodes = ['10.0.0.1', '10.0.0.2'].map((name) => start(lan, name, { vrrp: { priority: 100 } }));
    for (const node of nodes) node.deaf = true;
    await lan.pass(5000);
    expect(nodes.map(isMaster)).toEqual([true, true]);
    for (const node of nodes) node.deaf = false;
    await lan.pass(1000);
    expect(nodes.map(isMaster)).toEqual([false, true]);
  });

  it('with two owners bear each other for two adverts, then the lower address gives up', async () => {
    const lan = segment();
    const nodes = ['10.0.0.1', '10.0.0.2'].map((name) => start(lan, name, { vrrp: { priority: 255 } }));
    await lan.pass(500);
    expect(nodes.map(isMaster)).toEqual([true, true]);
    await lan.pass(5000);
    expect(nodes.map(isMaster)).toEqual([false, true]);
    expect(lan.nodes.filter((node) => node.addressUp).map(({ name }) => name)).toEqual(['10.0.0.2']);
  });

  it('never have two masters for longer than one advert after a partition', async () => {
    const lan = segment();
    const nodes = [150, 100].map((priority, index) =>
      start(lan, `10.0.0.${index + 1}`, { vrrp: { priority, intervalMs: 100 } }),
    );
    await lan.pass(1000);
    const [, second] = nodes;
    if (second === undefined) throw new Error('two nodes');
    second.deaf = true;
    await lan.pass(1000);
    expect(nodes.map(isMaster)).toEqual([true, true]);
    second.deaf = false;
    await lan.pass(105);
    expect(nodes.map(isMaster)).toEqual([true, false]);
  });
});
