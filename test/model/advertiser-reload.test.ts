import { describe, expect, it } from 'vitest';

import { AT, backup, rx, serving } from '../support/advertisers.ts';

const pace = (advbase: number) =>
  ({
    type: 'CONFIGURE',
    settings: { election: { protocol: 'carp', advbase, advskew: 0, tieBreak: 'bsd' } },
  }) as const;

describe('new settings', () => {
  it('are said by a MASTER at once, and at their own pace from then on', async () => {
    const { lan, node } = await serving();
    node.send(pace(10));
    await lan.pass(5000);
    node.effects.splice(0);
    node.send(pace(1));
    await lan.pass(1100);
    expect(node.effects.filter((effect) => effect !== 'announce')).toEqual(['advert 1/0', 'advert 1/0']);
    expect(node.where()).toBe(AT.serving);
  });

  it('make a BACKUP wait as long as a slower MASTER needs, from now on', async () => {
    const { lan, node } = backup();
    node.send(rx(0, 26));
    await lan.pass(2500);
    node.send(pace(10));
    await lan.pass(29_000);
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(1500);
    expect(node.where()).toBe(AT.wanted);
  });

  it('do not end the hold of a node whose elections came too often', async () => {
    const { lan, node } = backup({ flapBudget: 1, flapHoldMs: 60_000 });
    await lan.pass(4000);
    node.send(rx(0, 1));
    await lan.settle();
    expect(node.where()).toBe('BACKUP.flapping');
    node.send(pace(1));
    expect(node.where()).toBe('BACKUP.flapping');
  });

  it('of the list of addresses bring the interface in line, once more when they change meanwhile', async () => {
    const { lan, node } = await serving();
    node.send({ type: 'ADDRESSES' });
    expect(node.where()).toBe(AT.raising);
    node.send({ type: 'ADDRESSES' });
    await lan.settle();
    expect(node.where()).toBe(AT.serving);
    expect(node.effects.filter((effect) => effect === 'add...')).toHaveLength(2);
    expect(node.effects).toEqual(expect.arrayContaining(['announce', 'address up']));
    expect(node.addressUp).toBe(true);
  });

  it('of the list of addresses bring nothing up where it is down', async () => {
    const { lan, node } = backup();
    node.send({ type: 'ADDRESSES' });
    await lan.settle();
    expect(node.effects).not.toContain('add...');
  });
});
