import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { addressStatus } from '../../../../src/daemon/bind/address-status.ts';
import type { Announcement } from '../../../../src/model/election.ts';
import type { AddressSettings } from '../../../../src/model/settings.ts';
import type { PeerSeen } from '../../../../src/net/advert-receiver.ts';
import type { AddressStatus } from '../../../../src/protocol/control.ts';
import { type Advertiser, type NodeInput, segment } from '../../../support/advertisers.ts';

const read = (path: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), 'utf8');

/** Why a field of keepalived's has none of ours. */
const NOT_CONFIGURABLE = 'not configurable';
const NEVER_SHOWN = 'never shown';

/** keepalived's name, and where ours is in `groups[].address` (or of the group). Both tables are in docs/addresses.md. */
const DATA: Readonly<Record<string, string>> = {
  iname: 'name',
  vmac_ifname: 'address.carriers',
  ifp_ifname: 'address.interface',
  master_priority: 'address.follows',
  last_transition: 'address.lastTransition.time',
  vrid: 'address.vhid',
  base_priority: 'address.configured.priority',
  effective_priority: 'address.says.priority',
  vipset: 'address.up',
  adver_int: 'address.timers.advertMs',
  master_adver_int: 'address.timers.learnedMs',
  nopreempt: 'address.preempt',
  preempt_delay: 'address.preemptDelayMs',
  state: 'address.state',
  version: 'address.protocol',
  vips: 'address.addresses',
  auth_type: 'address.authentication',
  auth_data: NEVER_SHOWN,
  ...Object.fromEntries(
    [
      ...['dont_track_primary', 'skip_check_adv_addr', 'strict_mode', 'promote_secondaries', 'accept'],
      ...['garp_delay', 'garp_refresh', 'garp_rep', 'garp_refresh_rep'],
      ...['garp_lower_prio_delay', 'garp_lower_prio_rep', 'lower_prio_no_advert', 'higher_prio_send_advert'],
      ...['wantstate', 'smtp_alert', 'notify_deleted'],
    ].map((name) => [name, NOT_CONFIGURABLE]),
  ),
};
const STATS: Readonly<Record<string, string>> = {
  advert_rcvd: 'address.counters.accepted',
  advert_sent: 'address.counters.sent',
  become_master: 'address.counters.became-master',
  release_master: 'address.counters.left-master',
  packet_len_err: 'address.counters.vrrp-length',
  advert_interval_err: 'address.counters.interval',
  ip_ttl_err: 'address.counters.ttl',
  invalid_type_rcvd: 'address.counters.vrrp-type',
  addr_list_err: 'address.counters.address-list',
  invalid_authtype: 'address.counters.vrrp-auth-type',
  authtype_mismatch: 'address.counters.auth',
  auth_failure: 'address.counters.auth',
  pri_zero_rcvd: 'address.counters.goodbye-heard',
  pri_zero_sent: 'address.counters.goodbye-sent',
};

const ADDRESS = {
  ...{ protocol: 'vrrp2', interface: 'lan0', vhid: 7, passwordFile: '/etc/word' },
  addresses: ['10.78.0.100/24'],
} as const;
const VRRP: NodeInput = { vrrp: { protocol: 'vrrp2', priority: 100 } };
const vrrp = (priority: number): Announcement => ({ protocol: 'vrrp', priority, intervalMs: 1000 });
const heard = (says: Announcement, at: number, source = '10.78.0.2'): PeerSeen => ({
  ...{ says, at, source },
  adverts: 1,
});

function statusOf(node: Advertiser, now = 0, peers: readonly PeerSeen[] = []): AddressStatus {
  return addressStatus({
    settings: ADDRESS as unknown as AddressSettings,
    snapshot: node.actor.getSnapshot(),
    ...{ now, since: 0, waitsFor: null, peers },
    lastChange: { from: 'INIT', to: 'BACKUP', reason: 'started', time: '2026-01-01T00:00:00.000Z' },
    ...{ carriers: ['lan0'], transport: 'raw' },
    counters: { 'became-master': 0, 'left-master': 0, 'goodbye-sent': 0, 'goodbye-heard': 0, sent: 2 },
  });
}

/** `undefined` where there is no such thing. */
function at(path: string, root: unknown): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | null | undefined)?.[key], root);
}

describe('what is shown of an address', () => {
  it('has everything that keepalived writes of an instance', async () => {
    const [instance] = JSON.parse(await read('test/vectors/vrrp/keepalived-status.json')) as [
      Record<'data' | 'stats', Record<string, unknown>>,
    ];
    expect(Object.keys(DATA).sort()).toEqual(Object.keys(instance.data).sort());
    expect(Object.keys(STATS).sort()).toEqual(Object.keys(instance.stats).sort());
    const lan = segment();
    const node = lan.add('10.78.0.1', VRRP);
    node.send({ type: 'ADMIN.START' });
    const shown = { name: 'storage', address: statusOf(node) };
    const ours = [...Object.values(DATA), ...Object.values(STATS)].filter(
      (path) => path !== NOT_CONFIGURABLE && path !== NEVER_SHOWN,
    );
    expect(ours.filter((path) => at(path, shown) === undefined)).toEqual([]);
    const stats = Object.values(STATS).filter((path) => path !== 'address.counters.sent');
    expect(stats.filter((path) => at(path, shown) !== 0)).toEqual([]);
  });

  it('is told in the documentation by keepalived’s names', async () => {
    const documented = await read('docs/addresses.md');
    const lines = documented.split('\n').filter((line) => line.startsWith('|'));
    const undocumented = Object.entries({ ...DATA, ...STATS }).filter(([name, path]) => {
      const line = lines.find((text) => text.includes(`\`${name}\``));
      const ours = path.replace(/^address\.(counters\.)?/, '').split('.')[0] ?? '';
      return line === undefined || (path.startsWith('address.') && !line.includes(ours));
    });
    expect(undocumented).toEqual([]);
  });

  it('tells what it would say apart from what it was configured to say', () => {
    const node = segment().add('10.78.0.1', VRRP);
    node.send({ type: 'ADMIN.START' });
    node.send({ type: 'DEMOTE', by: 'track:file /f', amount: 30 });
    expect(statusOf(node)).toMatchObject({ configured: { priority: 100 }, says: { priority: 70 } });
  });

  it('names the MASTER that a BACKUP hears, not one that left or fell silent', () => {
    const node = segment().add('10.78.0.1', VRRP);
    node.send({ type: 'ADMIN.START' });
    const other = heard(vrrp(120), 900, '10.78.0.3');
    expect(statusOf(node, 1000, [other, heard(vrrp(150), 950)]).follows).toEqual({
      source: '10.78.0.2',
      says: vrrp(150),
    });
    expect(statusOf(node, 1000, [other, heard(vrrp(0), 950)]).follows?.source).toBe('10.78.0.3');
    expect(statusOf(node, 9000, [other, heard(vrrp(150), 950)]).follows).toBeNull();
  });

  it('follows nobody as MASTER', async () => {
    const lan = segment();
    const node = lan.add('10.78.0.1', VRRP);
    node.send({ type: 'ADMIN.START' });
    await lan.pass(5000);
    expect(statusOf(node, 5000, [heard(vrrp(50), 4900)])).toMatchObject({ state: 'MASTER', follows: null });
  });
});
