import { describe, expect, it } from 'vitest';
import { createActor } from 'xstate';

import { advertiserMachine } from '../../machines/advertiser.ts';
import { AT, backup, refusing, rx, segment, serving } from '../support/advertisers.ts';

describe('an advertiser that starts', () => {
  it('stays INIT until it is started and the link is up, and begins as BACKUP', () => {
    const lan = segment();
    const node = lan.add('10.0.0.1', { linkUp: false, preempt: true });
    node.send({ type: 'ADMIN.START' });
    node.send({ type: 'LINK.UP' });
    node.states.toVisit(['INIT', AT.waiting]);
    expect(node.effects).toEqual(['INIT -> BACKUP: link up']);
  });

  it('takes over after its down interval of silence, no sooner, with an advert before anything else', async () => {
    const { lan, node } = backup({ advskew: 128 });
    await lan.pass(3495);
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(5);
    node.states.toVisit([AT.waiting, 'BACKUP.draining', AT.wanted]);
    expect(node.effects).toEqual([
      'INIT -> BACKUP: started',
      'advert 1/128 first',
      'BACKUP -> MASTER: master silent',
    ]);
  });

  it('is re-armed by every advert that is as good as its own', async () => {
    const { lan, node } = backup();
    for (let n = 0; n < 5; n += 1) {
      await lan.pass(2900);
      node.send(rx(1, 0));
    }
    node.states.toVisit([AT.waiting]);
  });

  it('fails loudly when a port was not provided', () => {
    const errors: string[] = [];
    const actor = createActor(advertiserMachine, {
      input: {
        election: { protocol: 'carp', advbase: 1, advskew: 0, tieBreak: 'bsd' },
        preempt: false,
        selfAddresses: [],
        eligible: true,
        linkUp: true,
        seed: 1,
      },
    });
    actor.subscribe({ error: (error) => errors.push(String(error)) });
    actor.start();
    actor.send({ type: 'ADMIN.START' });
    expect(errors.join()).toMatch(/notify-state.*not bound/);
  });
});

describe('a BACKUP whose time is over', () => {
  it('stays BACKUP when the drain finds an advert that was waiting', async () => {
    const { lan, node } = backup();
    node.next.drain = () => {
      node.send(rx(1, 0));
      return Promise.resolve({ heard: true });
    };
    await lan.pass(3000);
    node.states.toVisit([AT.waiting, 'BACKUP.draining', AT.waiting]);
  });

  it('stays BACKUP when the drain says heard, or fails', async () => {
    const { lan, node } = backup();
    node.next.drain = () => Promise.resolve({ heard: true });
    await lan.pass(3000);
    node.next.drain = refusing('socket closed');
    await lan.pass(3000);
    node.states.toVisit([AT.waiting, 'BACKUP.draining', AT.waiting, 'BACKUP.draining', AT.waiting]);
  });

  it('listens for one more interval after its event loop stood still', async () => {
    const { lan, node } = backup();
    await lan.pass(1000);
    node.send({ type: 'LOOP.STALL', ms: 1500 });
    await lan.pass(2000);
    expect(node.where()).toBe('BACKUP.listeningOn');
    await lan.pass(1000);
    node.states.toVisit([AT.waiting, 'BACKUP.draining', 'BACKUP.listeningOn', 'BACKUP.draining', AT.wanted]);
  });

  it('does not listen longer for a stall that an advert has followed', async () => {
    const { lan, node } = backup();
    node.send({ type: 'LOOP.STALL', ms: 1500 });
    node.send(rx(1, 0));
    await lan.pass(3000);
    node.states.toVisit([AT.waiting, 'BACKUP.draining', AT.wanted]);
  });
});

describe('a BACKUP that hears a slower MASTER', () => {
  it('preempts it when told to', () => {
    const { node } = backup({ preempt: true, advskew: 10 });
    node.send(rx(1, 11));
    expect(node.where()).toBe(AT.wanted);
  });

  it('leaves it alone otherwise', () => {
    const { node } = backup({ advskew: 10 });
    node.send(rx(1, 11));
    expect(node.where()).toBe(AT.waiting);
  });

  it.each([
    ['bows out', 1, rx(255, 255)],
    ['bows out, however patient we are', 100, rx(255, 255)],
    ['is slower than our patience', 1, rx(4, 0)],
  ])('takes over at once when it %s', (_what, advbase, heard) => {
    const { node } = backup({ advbase });
    node.send(heard);
    expect(node.where()).toBe(AT.wanted);
  });

  it('works with sub-second intervals', async () => {
    const { lan, node } = backup({ advbase: 0, advskew: 32 });
    node.send(rx(0, 64));
    expect(node.where()).toBe(AT.waiting);
    await lan.pass(375);
    expect(node.where()).toBe(AT.wanted);
  });
});

describe('a MASTER that hears another', () => {
  it('gives way to a better one without a bow-out', async () => {
    const { lan, node } = await serving({ advskew: 5 });
    node.send(rx(1, 4));
    await lan.settle();
    expect(node.effects).toEqual(['remove...', 'address down', 'MASTER -> BACKUP: better master']);
  });

  it('answers a slower one at once, but not more often than twice an interval', async () => {
    const { node } = await serving();
    for (const at of [10_000, 10_100, 10_499, 10_500]) node.send(rx(1, 50, at));
    expect(node.effects).toEqual(['advert 1/0', 'announce', 'advert 1/0', 'announce']);
    node.effects.splice(0);
    node.send(rx(255, 255, 20_000));
    expect(node.effects).toEqual([]);
  });

  it('gives way to an equal one in bsd mode and waits a little longer than usual', async () => {
    const { lan, node } = await serving();
    node.send(rx(1, 0));
    await lan.settle();
    expect(node.where()).toBe(AT.waiting);
    const { tieJitterMs } = node.actor.getSnapshot().context;
    expect(tieJitterMs).toBeGreaterThan(0);
    expect(tieJitterMs).toBeLessThan(250);
  });

  it.each([
    ['10.77.1.1', '10.77.0.2', AT.waiting],
    ['10.77.0.2', '10.77.1.1', AT.serving],
  ])('in ucarp mode with an equal one at %s and itself at %s is %s', async (theirs, ours, where) => {
    const { lan, node } = await serving({ mode: 'ucarp', selfAddress: ours });
    node.send(rx(1, 0, 0, theirs));
    await lan.settle();
    expect(node.where()).toBe(where);
  });
});

describe('a MASTER that was frozen', () => {
  it('reads what it missed before it sends, and yields without a word', async () => {
    const { lan, node } = await serving({ advskew: 5 });
    node.next.drain = () => {
      node.send(rx(1, 5));
      return Promise.resolve({ heard: true });
    };
    node.send({ type: 'LOOP.STALL', ms: 9000 });
    await lan.settle();
    expect(node.effects).toEqual(['remove...', 'address down', 'MASTER -> BACKUP: equal master']);
  });

  it.each([
    ['nothing', () => Promise.resolve({ heard: false })],
    ['an error', refusing('socket')],
  ])('goes on when there was %s', async (_what, drain) => {
    const { lan, node } = await serving();
    node.next.drain = drain;
    node.send({ type: 'LOOP.STALL', ms: 9000 });
    await lan.settle();
    expect(node.where()).toBe(AT.serving);
    expect(node.effects[0]).toBe('advert 1/0 first');
  });

  it('takes no notice of a stall that nobody can have used', async () => {
    const { node } = await serving();
    node.send({ type: 'LOOP.STALL', ms: 2900 });
    node.states.toVisit([AT.serving]);
  });
});

describe('a MASTER that leaves', () => {
  it('takes the address down and bows out twice, 20 ms apart, when stopped', async () => {
    const { lan, node } = await serving();
    node.send({ type: 'ADMIN.STOP' });
    await lan.pass(15);
    expect(node.effects).toEqual(['remove...', 'address down', 'bow-out']);
    await lan.pass(10);
    expect(node.effects.slice(3)).toEqual(['bow-out', 'MASTER -> INIT: stopped']);
    expect(node.where()).toBe('INIT');
  });

  it('says nothing on a dead link', async () => {
    const { lan, node } = await serving();
    node.send({ type: 'LINK.DOWN' });
    await lan.settle();
    expect(node.effects).toEqual(['remove...', 'address down', 'MASTER -> INIT: link down']);
    node.send({ type: 'LINK.UP' });
    expect(node.where()).toBe(AT.waiting);
  });

  it('keeps silent until the address is really gone', async () => {
    const { lan, node } = await serving();
    node.next.remove = refusing('busy');
    node.send({ type: 'ADMIN.STOP' });
    await lan.pass(500);
    expect(node.where()).toBe('LEAVING.notRemoved');
    await lan.pass(600);
    expect(node.effects).toEqual([
      'remove...',
      'address remove-failed: busy',
      'remove...',
      'address down',
      'bow-out',
      'bow-out',
      'MASTER -> INIT: stopped',
    ]);
  });
});

describe('demotion', () => {
  it('by three failed sends in a row is undone by three good ones, exactly once', async () => {
    const { node } = await serving();
    const send = (type: 'TX.OK' | 'TX.ERROR', times: number): void => {
      for (let n = 0; n < times; n += 1) node.send(type === 'TX.OK' ? { type } : { type, error: 'ENETDOWN' });
    };
    send('TX.ERROR', 2);
    send('TX.OK', 1);
    send('TX.ERROR', 2);
    expect(node.effects).toEqual([]);
    send('TX.ERROR', 1);
    expect(node.effects).toEqual(['advert 1/240']);
    send('TX.ERROR', 5);
    expect(node.effects).toHaveLength(1);
    send('TX.OK', 2);
    expect(node.effects).toHaveLength(1);
    send('TX.OK', 5);
    expect(node.effects).toEqual(['advert 1/240', 'advert 1/0']);
    expect(node.actor.getSnapshot().context.demotion).toEqual({});
  });

  it('by name is added, replaced and taken back, and said at once', async () => {
    const { node } = await serving({ advskew: 10 });
    node.send({ type: 'DEMOTE', by: 'track:disk', amount: 30 });
    node.send({ type: 'DEMOTE', by: 'admin', amount: 5 });
    node.send({ type: 'DEMOTE', by: 'track:disk', amount: 20 });
    node.send({ type: 'DEMOTE', by: 'track:disk', amount: 0 });
    node.send({ type: 'DEMOTE', by: 'admin', amount: 0 });
    expect(node.effects).toEqual(['advert 1/40', 'advert 1/45', 'advert 1/35', 'advert 1/15', 'advert 1/10']);
  });
});
