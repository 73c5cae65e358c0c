import { afterEach, describe, expect, it } from 'vitest';

import { createSpeaker } from '../../../../src/daemon/bind/advert-speaker.ts';
import type { AdvertSpeaker } from '../../../../src/daemon/bind/advert-speaker.ts';
import type { Announcement, ElectionSettings } from '../../../../src/model/election.ts';
import type { ReceivedAdvert } from '../../../../src/net/advert-receiver.ts';
import { openAdvertTransport } from '../../../../src/net/advert-transport.ts';
import { freeUdpPort } from '../../../support/free-ports.ts';

const NODES = ['127.0.87.1', '127.0.87.2'] as const;
const opened: AdvertSpeaker[] = [];
afterEach(() => {
  for (const { transport } of opened.splice(0)) transport.close();
});

/** Two nodes of one address on loopback, without raw sockets. `heard` resolves with what the second hears next. */
async function pair(
  election: ElectionSettings,
  keys: readonly [string, string] = ['s3cret', 's3cret'],
  addresses: readonly string[] = ['10.0.0.100/24'],
) {
  const port = await freeUdpPort(NODES[0]);
  let hear: (advert: ReceivedAdvert) => void = () => undefined;
  const lines: string[] = [];
  const speakers: AdvertSpeaker[] = [];
  for (const [index, own] of NODES.entries()) {
    const log = (_level: string, message: string): void => void lines.push(message);
    const transport = await openAdvertTransport({
      transport: 'udp',
      interface: 'lo',
      peers: NODES.filter((node) => node !== own),
      port,
      bind: [own],
      log,
    });
    let counter = 0n;
    const speaker = createSpeaker({
      settings: { vhid: 7, addresses, counter: 'strict', unicast: [], checksum: 'auto' },
      election,
      key: Buffer.from(keys[index] ?? ''),
      transport,
      nextCounter: () => (counter += 1n),
      ownAddresses: () => new Set([own]),
      log,
      heard: (advert) => hear(advert),
    });
    speakers.push(speaker);
    opened.push(speaker);
  }
  const [first, second] = speakers;
  if (first === undefined || second === undefined) throw new Error('two nodes');
  const heard = (): Promise<ReceivedAdvert> => new Promise((resolve) => (hear = resolve));
  return { first, second, heard, lines };
}

const carp: ElectionSettings = { protocol: 'carp', advbase: 1, advskew: 5, tieBreak: 'bsd' };
const vrrp = (protocol: 'vrrp2' | 'vrrp3'): ElectionSettings => ({
  protocol,
  priority: 100,
  intervalMs: 1000,
  downAdverts: 3,
});
const prio: Announcement = { protocol: 'vrrp', priority: 100, intervalMs: 1000 };

describe('two speakers without raw sockets', () => {
  it.each<[string, ElectionSettings, Announcement]>([
    ['CARP', carp, { protocol: 'carp', advbase: 1, advskew: 5, demote: 0 }],
    ['VRRP 2', vrrp('vrrp2'), prio],
    ['VRRP 3', vrrp('vrrp3'), prio],
  ])('understand each other in %s, and know whom they heard', async (_name, election, says) => {
    const { first, second, heard } = await pair(election);
    for (let n = 1; n <= 2; n += 1) {
      const next = heard();
      expect(first.say(says)).toBeNull();
      expect(await next).toMatchObject({ says, source: NODES[0] });
    }
    expect(second.peers()).toMatchObject([{ source: NODES[0], says, adverts: 2 }]);
    expect(second.counters()).toMatchObject({ accepted: 2, received: 2 });
    expect(first.counters()).toMatchObject({ accepted: 0, sent: 2 });
  });

  it.each([[['fd00::100/64', 'fe80::100/64']], [['10.0.0.100/24', 'fd00::100/64']]])(
    'understand each other in VRRP 3 about %j',
    async (addresses) => {
      const { first, second, heard } = await pair(vrrp('vrrp3'), ['', ''], addresses);
      const next = heard();
      first.say(prio);
      await next;
      expect(second.counters()['address-list']).toBeUndefined();
    },
  );

  it.each<[string, ElectionSettings, Announcement, string]>([
    ['CARP', carp, { protocol: 'carp', advbase: 1, advskew: 5, demote: 0 }, 'hmac'],
    ['VRRP 2', vrrp('vrrp2'), prio, 'auth'],
  ])('refuse each other in %s with other passwords', async (_name, election, says, reason) => {
    const { first, second, lines } = await pair(election, ['s3cret', 'other']);
    first.say(says);
    await expect.poll(() => second.counters()[reason]).toBe(1);
    expect(second.peers()).toEqual([]);
    expect(lines.at(-1)).toContain(reason === 'auth' ? 'wrong password' : 'wrong digest');
  });

  it('say nothing in the words of another protocol', async () => {
    const { first } = await pair(carp);
    expect(() => first.say(prio)).toThrow(expect.objectContaining({ code: 'wrong-protocol' }));
  });
});
