/** Orders to give a copy up: what is refused, and two that want the opposite at once. */
import { describe, expect, it } from 'vitest';

import type { Member } from '../../../src/daemon/bind/members.ts';
import { answerResolve, resolveSplit, type ResolvePorts } from '../../../src/daemon/resolve.ts';
import { NetError } from '../../../src/model/errors.ts';
import type { HastRole } from '../../../src/model/roles.ts';

type Name = 'hasta' | 'hastb';
const other = (name: Name): Name => (name === 'hasta' ? 'hastb' : 'hasta');

/** Two nodes that both went on from one history, each with its own copy. */
class Pair {
  readonly discarded: Name[] = [];
  readonly ports: Record<Name, ResolvePorts>;
  reachable = true;

  constructor(roles: Record<Name, HastRole> = { hasta: 'primary', hastb: 'secondary' }, peer = true) {
    this.ports = { hasta: this.#ports('hasta', roles, peer), hastb: this.#ports('hastb', roles, peer) };
  }

  #ports(name: Name, roles: Record<Name, HastRole>, peer: boolean): ResolvePorts {
    const own = name === 'hasta' ? 'aa' : 'bb';
    const record = {
      epoch: { number: name === 'hasta' ? 4 : 5, id: own.repeat(8) },
      generations: { current: own.repeat(8), previous: 'cc'.repeat(8) },
      ...{ state: 'clean', primary: name, inSync: [name], released: false },
    };
    const member = {
      ...{ settings: { name: 'disk1' }, error: null, doubt: null, keptUntil: Number.NEGATIVE_INFINITY },
      snapshot: { record, role: roles[name], extentsize: 65_536, dirtyBytes: 65_536, datasize: 1 << 20 },
      refresh: () => Promise.resolve(),
      command: () => {
        this.discarded.push(name);
        return Promise.resolve();
      },
    } as unknown as Member;
    const runtime = {
      ...{ node: name, clock: { now: () => 1000 }, journal: { add: () => undefined } },
      settings: { peer: peer ? { name: other(name) } : null },
      peer: { resource: () => null },
    } as unknown as ResolvePorts['runtime'];
    return {
      runtime,
      sources: { members: new Map([['disk1', member]]), groups: new Map() },
      askPeer: async (_method, params) => {
        // As over a wire: never in the turn in which it was asked.
        await Promise.resolve();
        if (!this.reachable) throw new NetError('channel-down', 'the peer channel is down');
        return answerResolve(this.ports[other(name)], { ...params });
      },
    };
  }

  order(at: Name, discard: string, demote = true): ReturnType<typeof resolveSplit> {
    return resolveSplit(this.ports[at], { resource: 'disk1', discard, dryRun: false, demote });
  }
}

const code = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => (error as { code: unknown }).code,
  );

describe('an order to give a copy up', () => {
  it('is carried out on the node that it names', async () => {
    const pair = new Pair();
    expect(await pair.order('hasta', 'hastb')).toMatchObject({ done: true, notes: [] });
    expect(pair.discarded).toEqual(['hastb']);
  });

  it('is refused for a node that is not there, and where there is no other node', async () => {
    const pair = new Pair();
    await expect(pair.order('hasta', 'hastc')).rejects.toMatchObject({
      code: 'unknown-node',
      message: "there is no node 'hastc': it is hasta or hastb",
    });
    const alone = new Pair({ hasta: 'primary', hastb: 'secondary' }, false);
    expect(await code(alone.order('hasta', 'hastb'))).toBe('no-peer');
    expect([...pair.discarded, ...alone.discarded]).toEqual([]);
  });

  it('is refused while the other node cannot be asked', async () => {
    const pair = new Pair();
    pair.reachable = false;
    expect(await code(pair.order('hasta', 'hastb'))).toBe('peer-unreachable');
    expect(pair.discarded).toEqual([]);
  });

  it('is refused for a primary unless it may be demoted', async () => {
    const pair = new Pair({ hasta: 'primary', hastb: 'primary' });
    const result = await pair.order('hasta', 'hastb', false);
    expect(result).toMatchObject({ done: false, verdict: { reasons: [{ code: 'discard-is-primary' }] } });
    expect(pair.discarded).toEqual([]);
  });

  it('does not go through against the opposite one, which may be given again at once', async () => {
    const pair = new Pair();
    const codes = await Promise.all([code(pair.order('hasta', 'hastb')), code(pair.order('hastb', 'hasta'))]);
    expect(codes).toContain('copy-kept');
    expect(pair.discarded.length).toBeLessThan(2);
    pair.discarded.splice(0);
    expect(await pair.order('hasta', 'hastb')).toMatchObject({ done: true });
    expect(pair.discarded).toEqual(['hastb']);
  });
});
