import { afterEach, describe, expect, it } from 'vitest';

import { AdvertVoices } from '../../../../src/daemon/bind/advert-voices.ts';
import { parseHastConf, resolveHastConf } from '../../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../../src/config/hastate-yaml.ts';
import type { AddressSet } from '../../../../src/model/address-set.ts';
import { electionOf } from '../../../../src/model/election.ts';
import type { AdvertTransport } from '../../../../src/net/advert-transport.ts';
import { openUdpAdverts } from '../../../../src/net/udp-advert.ts';
import { freeUdpPort } from '../../../support/free-ports.ts';
import { eventually } from '../../../support/stamped-clients.ts';

const NODES = ['127.0.86.1', '127.0.86.2'] as const;
const SAYS = { protocol: 'carp', advbase: 1, advskew: 5, demote: 0 } as const;
const opened: AdvertVoices[] = [];
afterEach(() => {
  for (const voices of opened.splice(0)) voices.close();
});

function setOf(addresses: string, password = 's3cret'): AddressSet {
  const identity = { hostname: 'hasta', hostuuid: null, hostid: null };
  const conf = 'resource disk1 { on hasta { local /1 remote none } on hastb { local /1 remote none } }';
  const hast = resolveHastConf(parseHastConf(conf, 'hast.conf'), { identity });
  const yaml = `nodes: { hasta: { peer: a }, hastb: { peer: b } }
insecure: true
groups: { g: { resources: [disk1], address: { vhid: 7, interface: lo, addresses: [${addresses}] } } }`;
  const settings = parseHastate(yaml, 'y', hast, { onWarning: () => undefined }).groups[0]?.address;
  const election = settings == null ? null : electionOf(settings);
  if (settings == null || election === null) throw new Error('no address');
  return { settings, election, key: Buffer.from(password) };
}

/** Two nodes on loopback with one set of addresses. */
async function pair(set: AddressSet) {
  const port = await freeUdpPort(NODES[0]);
  const lines: string[] = [];
  const log = (_level: string, message: string): void => void lines.push(message);
  const node = async (own: string) => {
    const open = async (): Promise<AdvertTransport[]> => [
      await openUdpAdverts({ peers: NODES.filter((other) => other !== own), port, bind: [own], log }),
    ];
    let counter = 0n;
    const heard = { count: 0 };
    const voices = new AdvertVoices({
      ...{ set, transports: await open(), log },
      nextCounter: () => (counter += 1n),
      ownAddresses: () => [own],
      heard: () => void (heard.count += 1),
    });
    opened.push(voices);
    const change = async (next: AddressSet): Promise<void> => voices.change(next, await open());
    return { voices, heard, change };
  };
  return { a: await node(NODES[0]), b: await node(NODES[1]), lines };
}

type Node = Awaited<ReturnType<typeof pair>>['a'];

/** How many of the adverts that `from` makes of one announcement `to` takes for valid. */
async function understood(from: Node, to: Node): Promise<number> {
  const received = (): number => to.voices.counters()['received'] ?? 0;
  const [accepted, before] = [to.heard.count, received()];
  expect(from.voices.say(SAYS)).toBeNull();
  await eventually('the adverts', () => received() >= before + (from.voices.saysBoth ? 2 : 1));
  return to.heard.count - accepted;
}

describe('the voices of an address', () => {
  const first = setOf('10.0.0.1/24');
  const second = setOf('10.0.0.1/24, 10.0.0.2/24');
  const third = setOf('10.0.0.3/24', 'another');

  it('say and understand both sets while nodes change one after the other, and refuse nothing aloud', async () => {
    const { a, b, lines } = await pair(first);
    await a.change(second);
    expect(await understood(a, b)).toBe(1);
    expect(await understood(b, a)).toBe(1);
    expect(a.voices.heardNew).toBe(false);
    await b.change(second);
    expect(await understood(a, b)).toBe(2);
    b.voices.settle();
    expect(await understood(b, a)).toBe(1);
    expect(a.voices.heardNew).toBe(true);
    a.voices.settle();
    expect(await understood(a, b)).toBe(1);
    // What b refused was told by it alone, when it did not have the set yet.
    expect(lines.filter((line) => line.includes('wrong digest'))).toHaveLength(1);
  });

  it('understand the set before until they forget it', async () => {
    const { a, b } = await pair(first);
    await a.change(second);
    a.voices.settle();
    expect([await understood(a, b), await understood(b, a)]).toEqual([0, 1]);
    a.voices.forget();
    expect(await understood(b, a)).toBe(0);
  });

  it('of three sets keep the first, which the other node has, and the last', async () => {
    const { a, b } = await pair(first);
    await a.change(second);
    await a.change(third);
    expect([await understood(a, b), await understood(b, a)]).toEqual([1, 1]);
    await b.change(third);
    expect(await understood(a, b)).toBe(2);
  });

  it('count no advert twice that both sets make', async () => {
    const { a, b } = await pair(first);
    await b.change({ ...first, settings: { ...first.settings, preempt: true } });
    expect(await understood(a, b)).toBe(1);
    expect(b.voices.peers()).toMatchObject([{ source: NODES[0], adverts: 1 }]);
  });
});
