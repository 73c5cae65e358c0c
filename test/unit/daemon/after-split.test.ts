/** A group's `after-split` carried out between two nodes, as an operator's `hastate resolve`. */
import { describe, expect, it } from 'vitest';

import { AfterSplitDesk } from '../../../src/daemon/after-split.ts';
import type { Member } from '../../../src/daemon/bind/members.ts';
import { answerResolve, type ResolvePorts } from '../../../src/daemon/resolve.ts';
import type { AfterSplit } from '../../../src/model/after-split.ts';
import { NetError } from '../../../src/model/errors.ts';
import type { ResourceRecord } from '../../../src/model/record.ts';
import type { HastRole } from '../../../src/model/roles.ts';

type Name = 'hasta' | 'hastb';
const NODES = ['hasta', 'hastb'] as const;
const other = (name: Name): Name => (name === 'hasta' ? 'hastb' : 'hasta');

interface Side {
  role: HastRole;
  bytes: number;
  policy: AfterSplit;
  changing: boolean;
  maintenance: boolean;
}

const QUIET = { policy: 'discard-least-changes', changing: false, maintenance: false } as const;
const heldFor = ({ maintenance }: Side): string | null => (maintenance ? 'maintenance' : null);

/** hastb wrote less than hasta. */
class Pair {
  readonly discarded: Name[] = [];
  readonly said: Record<Name, string[]> = { hasta: [], hastb: [] };
  readonly sides: Record<Name, Side> = {
    hasta: { role: 'primary', bytes: 131_072, ...QUIET },
    hastb: { role: 'secondary', bytes: 65_536, ...QUIET },
  };
  readonly desks: Record<Name, AfterSplitDesk>;
  reachable = true;
  previous = 'cc';
  readonly #ports: Record<Name, ResolvePorts>;

  constructor() {
    this.#ports = { hasta: this.#portsOf('hasta'), hastb: this.#portsOf('hastb') };
    this.desks = {
      hasta: new AfterSplitDesk(this.#ports.hasta),
      hastb: new AfterSplitDesk(this.#ports.hastb),
    };
  }

  #record(name: Name): ResourceRecord {
    const own = name === 'hasta' ? 'aa' : 'bb';
    return {
      epoch: { number: name === 'hasta' ? 4 : 5, id: own.repeat(8) },
      generations: { current: own.repeat(8), previous: this.previous.repeat(8) },
      ...{ state: 'clean', primary: name, inSync: [name], released: false },
    };
  }

  #portsOf(name: Name): ResolvePorts {
    const side = this.sides[name];
    const theirs = this.sides[other(name)];
    const record = (): ResourceRecord => this.#record(name);
    const member = {
      ...{ settings: { name: 'disk1' }, error: null, doubt: null, keptUntil: Number.NEGATIVE_INFINITY },
      get snapshot() {
        const { role, bytes } = side;
        return { record: record(), role, extentsize: 65_536, dirtyBytes: bytes, datasize: 1 << 20 };
      },
      refresh: () => Promise.resolve(),
      command: () => {
        this.discarded.push(name);
        return Promise.resolve();
      },
    } as unknown as Member;
    const group = {
      get role() {
        return side.changing ? 'changing' : 'secondary';
      },
      get settings() {
        return { name: 'storage', resources: ['disk1'], peerKind: 'hastate', afterSplit: side.policy };
      },
    };
    const add = ({ message }: { message: string }): void => void this.said[name].push(message);
    const runtime = {
      ...{ node: name, clock: { now: () => 1000 }, journal: { add } },
      settings: { peer: { name: other(name) } },
      holds: { of: () => ({ code: heldFor(side) }) },
      peer: {
        resource: () => ({ record: this.#record(other(name)) }),
        group: () => ({ changing: theirs.changing, hold: heldFor(theirs) }),
      },
    } as unknown as ResolvePorts['runtime'];
    const groups = new Map([['storage', group]]) as unknown as ResolvePorts['sources']['groups'];
    return {
      runtime,
      sources: { members: new Map([['disk1', member]]), groups },
      askPeer: async (_method, params) => {
        await Promise.resolve();
        if (!this.reachable) throw new NetError('channel-down', 'the peer channel is down');
        return answerResolve(this.#ports[other(name)], JSON.parse(JSON.stringify(params)) as typeof params);
      },
    };
  }

  async look(): Promise<void> {
    await Promise.all(NODES.map((name) => this.desks[name].look()));
  }
}

describe('a policy after a split-brain', () => {
  it('has the copy given up that lost by it, once, and stands in both journals with its reason', async () => {
    const pair = new Pair();
    await pair.look();
    expect(pair.discarded).toEqual(['hastb']);
    for (const name of NODES) {
      expect(pair.said[name]).toContain(
        "'after-split: discard-least-changes' decides: hastate resolve disk1 --discard hastb",
      );
      expect(pair.said[name].join('\n')).toMatch(/hastb is discarded and hasta kept: at most 65536 bytes/);
    }
  });

  it('does nothing but tell why, and that once, when a primary would lose', async () => {
    const pair = new Pair();
    pair.sides.hastb.role = 'primary';
    await pair.look();
    await pair.look();
    expect(pair.discarded).toEqual([]);
    for (const name of NODES) expect(pair.said[name]).toEqual([expect.stringMatching(/hastb is primary/)]);
    pair.sides.hastb.role = 'secondary';
    await pair.look();
    expect(pair.discarded).toEqual(['hastb']);
  });

  it('does nothing where none was chosen, nothing is split, or the other node cannot be asked', async () => {
    const chosen = new Pair();
    for (const name of NODES) chosen.sides[name].policy = 'disconnect';
    const whole = new Pair();
    whole.previous = '00';
    const cut = new Pair();
    cut.reachable = false;
    for (const pair of [chosen, whole, cut]) {
      await pair.look();
      expect(pair.discarded).toEqual([]);
    }
    expect([...chosen.said.hasta, ...whole.said.hasta]).toEqual([]);
    expect(cut.said.hasta.join()).toMatch(/both copies are kept: hastb cannot be asked/);
  });

  it('waits for the end of a maintenance and of a takeover, on either node', async () => {
    for (const name of NODES)
      for (const what of ['maintenance', 'changing'] as const) {
        const pair = new Pair();
        pair.sides[name][what] = true;
        await pair.look();
        expect(pair.discarded).toEqual([]);
        pair.sides[name][what] = false;
        await pair.look();
        expect(pair.discarded).toEqual(['hastb']);
      }
  });

  it('is not carried out against another one on the other node', async () => {
    const pair = new Pair();
    pair.sides.hastb.policy = 'discard-zero-changes';
    await pair.look();
    expect(pair.discarded).toEqual([]);
    expect(pair.said.hasta.join()).toMatch(/could not be carried out.*make hastate.yaml the same/);
  });
});
