import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { VrrpElection } from '../../src/model/election.ts';
import { BRIDGE_NEEDS } from '../support/bridge-lab.ts';
import { openCarpLab } from '../support/carp-lab.ts';
import type { CarpLab } from '../support/carp-lab.ts';
import { needs } from '../support/needs.ts';
import type { Talker } from '../support/talker.ts';

const says = (part: string) => (line: string) => line.includes(part);
const VRID = 7;

interface Kind {
  readonly name: string;
  readonly protocol: VrrpElection['protocol'];
  readonly intervalMs: number;
  readonly addresses: readonly string[];
  readonly password: string;
  readonly unicast: boolean;
}
const KINDS: readonly Kind[] = [
  {
    name: 'version 2 with a password',
    protocol: 'vrrp2',
    intervalMs: 1000,
    addresses: ['10.78.0.100/24'],
    password: 's3cretPW',
    unicast: false,
  },
  {
    name: 'version 3 every 100 ms',
    protocol: 'vrrp3',
    intervalMs: 100,
    addresses: ['10.78.0.100/24', '10.78.0.101/24'],
    password: '',
    unicast: false,
  },
  {
    name: 'version 3 by unicast',
    protocol: 'vrrp3',
    intervalMs: 100,
    addresses: ['10.78.0.100/24'],
    password: '',
    unicast: true,
  },
  {
    name: 'version 3 over IPv6',
    protocol: 'vrrp3',
    intervalMs: 100,
    addresses: ['fe80::100/64', 'fd78::100/64'],
    password: '',
    unicast: false,
  },
];

function keepalivedInstance(kind: Kind, priority: number): string {
  return `
  virtual_router_id ${VRID}
  priority ${priority}
  advert_int ${kind.intervalMs / 1000}
  version ${kind.protocol === 'vrrp2' ? 2 : 3}
  ${kind.password === '' ? '' : `authentication { auth_type PASS\n auth_pass ${kind.password}\n }`}
  ${kind.unicast ? 'unicast_src_ip 10.78.0.2\n unicast_peer { 10.78.0.1\n }' : ''}
  virtual_ipaddress {
    ${kind.addresses.join('\n    ')}
  }`;
}

describe.skipIf(needs(...BRIDGE_NEEDS, 'keepalived'))('beside a real keepalived', () => {
  let lab: CarpLab;
  const running: Talker[] = [];
  beforeAll(async () => {
    lab = await openCarpLab();
  });
  afterEach(async () => {
    for (const talker of running.splice(0)) await talker.kill('SIGKILL');
    for (const namespace of [lab.ours, lab.theirs]) {
      for (const cidr of KINDS.flatMap(({ addresses }) => addresses)) {
        await lab.in(namespace, 'ip', 'address', 'del', cidr, 'dev', 'lan0').catch(() => '');
      }
    }
  });
  afterAll(() => lab.close());

  const ours = (kind: Kind, priority: number, password = kind.password): Talker => {
    const { protocol, intervalMs, addresses, unicast } = kind;
    const node = lab.node({
      vhid: VRID,
      addresses,
      password,
      preempt: true,
      election: { protocol, priority, intervalMs, downAdverts: 3 },
      unicast: unicast ? ['10.78.0.2'] : [],
    });
    running.push(node);
    return node;
  };
  const theirs = async (kind: Kind, priority: number) => {
    const peer = await lab.keepalived(keepalivedInstance(kind, priority));
    running.push(peer);
    return peer;
  };

  it.each(KINDS)(
    'by $name we preempt, are preempted, hand over and take over',
    async (kind) => {
      const down = 4 * kind.intervalMs + 3000;
      const peer = await theirs(kind, 100);
      await peer.line(says('Entering MASTER STATE'), 15_000);

      const better = ours(kind, 150);
      await better.line(says('"heard"'), 10_000);
      await better.line(says('"state":"MASTER"'), down);
      await peer.line(says('Entering BACKUP STATE'), down, peer.lines.findIndex(says('MASTER STATE')));
      await better.line(says('"address":"up"'), 5000);
      const shown = await lab.in(lab.ours, 'ip', '-o', 'address', 'show', 'lan0');
      for (const cidr of kind.addresses) expect(shown).toContain(cidr);

      const before = peer.lines.length;
      better.write('stop\n');
      await peer.line(says('Entering MASTER STATE'), down, before);
      const { counters } = JSON.parse(await better.line(says('"counters"'), 5000)) as {
        counters: Record<string, number>;
      };
      expect(counters['accepted']).toBeGreaterThan(0);
      for (const reason of ['vrrp-checksum', 'auth', 'address-list', 'interval', 'ttl']) {
        expect(counters[reason], reason).toBeUndefined();
      }

      const worse = ours(kind, 50);
      await worse.line(says('"heard"'), 10_000);
      expect(worse.lines.some(says('MASTER'))).toBe(false);
      await peer.kill('SIGTERM');
      await worse.line(says('"state":"MASTER"'), down);
      expect(worse.lines.some(says('"priority":0'))).toBe(true);

      const again = await theirs(kind, 100);
      await again.line(says('Entering MASTER STATE'), 15_000);
      await worse.line(says('"state":"BACKUP"'), down, worse.lines.findIndex(says('"state":"MASTER"')));

      const taken = worse.lines.length;
      await again.crash();
      await worse.line(says('"state":"MASTER"'), down, taken);
    },
    60_000,
  );

  it('with other passwords neither hears the other, and we say so once', async () => {
    const [kind] = KINDS;
    if (kind === undefined) throw new Error('no kinds');
    const peer = await theirs(kind, 150);
    await peer.line(says('Entering MASTER STATE'), 15_000);
    const node = ours(kind, 100, 'other');
    await node.line(says('wrong password or authentication type from 10.78.0.2'), 5000);
    await node.line(says('"state":"MASTER"'), 8000);
    node.write('stop\n');
    const { counters } = JSON.parse(await node.line(says('"counters"'), 5000)) as {
      counters: Record<string, number>;
    };
    expect(counters['auth']).toBeGreaterThan(1);
    expect(counters['accepted']).toBe(0);
    expect(node.lines.filter(says('wrong password'))).toHaveLength(1);
  }, 30_000);
});
