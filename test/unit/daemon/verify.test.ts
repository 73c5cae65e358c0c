/** Who is asked to compare the disks, and what is said when that node cannot be asked. */
import { describe, expect, it } from 'vitest';

import type { Member } from '../../../src/daemon/bind/members.ts';
import { answerVerify, verifyResource, type VerifyPorts } from '../../../src/daemon/verify.ts';
import { NetError } from '../../../src/model/errors.ts';

type Name = 'hasta' | 'hastb';

class Pair {
  readonly commands: unknown[] = [];
  reachable = true;
  readonly #primary: Name | null;
  readonly #named: boolean;

  constructor(primary: Name | null, named = true) {
    this.#primary = primary;
    this.#named = named;
  }

  at(name: Name): VerifyPorts {
    const other = name === 'hasta' ? 'hastb' : 'hasta';
    const member = {
      snapshot: { role: this.#primary === name ? 'primary' : 'secondary', verify: null },
      refresh: () => Promise.resolve(),
      command: (command: unknown) => {
        this.commands.push([name, command]);
        return Promise.resolve();
      },
    } as unknown as Member;
    return {
      runtime: {
        ...{ node: name, journal: { add: () => undefined } },
        settings: { peer: this.#named ? { name: other } : null },
      } as unknown as VerifyPorts['runtime'],
      sources: { members: new Map([['disk1', member]]) },
      askPeer: (method, params) => {
        expect(method).toBe('verify');
        if (!this.reachable) throw new NetError('channel-down', 'the peer channel is down');
        return answerVerify(this.at(other), params);
      },
    };
  }
}

const START = { resource: 'disk1', action: 'start', rate: 1000, repair: true } as const;

describe('a verification', () => {
  it.each(['hasta', 'hastb'] as const)('that is asked for on %s is begun on the primary', async (name) => {
    const pair = new Pair('hasta');
    expect(await verifyResource(pair.at(name), START)).toMatchObject({ node: 'hasta' });
    const { action, rate, repair } = START;
    expect(pair.commands).toEqual([['hasta', { type: 'verify', action, rate, repair }]]);
  });

  it('is ended on the primary, and looked at without a command', async () => {
    const pair = new Pair('hasta');
    await verifyResource(pair.at('hastb'), { resource: 'disk1', action: 'look' });
    expect(pair.commands).toEqual([]);
    await verifyResource(pair.at('hastb'), { resource: 'disk1', action: 'stop' });
    expect(pair.commands).toEqual([['hasta', { type: 'verify', action: 'stop' }]]);
  });

  it('says which node to ask when that one cannot be reached from here', async () => {
    const pair = new Pair('hastb');
    pair.reachable = false;
    await expect(verifyResource(pair.at('hasta'), START)).rejects.toThrow(/ask on hastb/);
    await expect(verifyResource(new Pair('hastb', false).at('hasta'), START)).rejects.toThrow(
      /ask on its primary/,
    );
  });

  it('is refused where nobody is primary, for an unknown resource, and for words that make no sense', async () => {
    const pair = new Pair(null);
    await expect(verifyResource(pair.at('hasta'), START)).rejects.toMatchObject({ code: 'not-primary' });
    const other = { ...START, resource: 'disk9' };
    await expect(verifyResource(pair.at('hasta'), other)).rejects.toMatchObject({ code: 'unknown-resource' });
    for (const wrong of [{ action: 'erase' }, { rate: -1 }, { repair: 'yes' }])
      await expect(verifyResource(pair.at('hasta'), { ...START, ...wrong })).rejects.toMatchObject({
        code: 'peer-message-field',
      });
    expect(pair.commands).toEqual([]);
  });
});
