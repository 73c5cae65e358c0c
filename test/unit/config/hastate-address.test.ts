import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { ConfigFileError } from '../../../src/config/diagnostics.ts';
import type { Diagnostic } from '../../../src/config/diagnostics.ts';
import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import type { AddressSettings } from '../../../src/model/settings.ts';

const hastConf = readFileSync(
  fileURLToPath(new URL('../../../etc/hast.conf.sample', import.meta.url)),
  'utf8',
);

function settings(text: string, node = 'hast1'): AddressSettings {
  const identity = { hostname: node, hostuuid: null, hostid: null };
  const hast = resolveHastConf(parseHastConf(hastConf, 'hast.conf'), { node, identity });
  const parsed = parseHastate(text, 'hastate.yaml', hast, { onWarning: () => undefined });
  const found = parsed.groups[0]?.address;
  if (found == null) throw new Error('no address');
  return found;
}

function faults(text: string): readonly Diagnostic[] {
  try {
    settings(text);
  } catch (error) {
    if (error instanceof ConfigFileError && error.code === 'config-invalid') return error.diagnostics;
    throw error;
  }
  return [];
}

/** Enough of a file, in one line each, to hang one fault on line 3. */
const around = (group: string): string =>
  `insecure: true\nnodes: { hast1: { peer: a }, hast2: { peer: b } }\n${group}`;
const member = (rest: string): string => around(`groups: { g: { resources: [disk1], ${rest} } }`);
const address = (rest: string): string => member(`address: { ${rest}, addresses: [10.0.0.9/8] }`);

describe('the address of a group', () => {
  it('reads how addresses look, and what both nodes have to say alike whatever each says alone', () => {
    const of = (rest: string, node = 'hast1') =>
      settings(
        member(`address: { interface: eth0, vhid: 1, addresses: [10.0.0.9/8, 'fd00::9/64'], ${rest} }`),
        node,
      );
    expect(of('label: vip, deprecated: true, dad: true, virtual-mac: true')).toMatchObject({
      options: { label: 'vip', deprecated: true, dad: true },
      virtualMac: true,
    });
    expect(of('label: off').options.label).toBeNull();
    const skews = 'advskew: { hast1: 3, hast2: 9 }';
    expect(of(skews, 'hast1').common).toBe(of(skews, 'hast2').common);
    expect(of(skews).common).not.toBe(of('advskew: { hast1: 3, hast2: 8 }').common);
    expect(of('preempt: true').common).toBe(of('preempt: false').common);
  });

  it('needs no vhid where keepalived has its own, in any number of groups', () => {
    const group = (name: string, disk: string, host: number): string =>
      `${name}: { resources: [${disk}], address: { protocol: keepalived, interface: i, addresses: [10.0.0.${host}/8] } }`;
    expect(
      settings(around(`groups: { ${group('g', 'disk1', 1)}, ${group('h', 'disk2', 2)} }`)),
    ).toMatchObject({ protocol: 'keepalived', vhid: 0 });
    expect(faults(address('protocol: kernel-carp, interface: i'))[0]?.message).toContain('vhid');
  });

  it('lets the other node take over before it gives up itself: CARP at 100 ms, VRRP by default', () => {
    const of = (rest: string, node: string) =>
      settings(
        around(
          `groups: { g: { resources: [disk1], address: { interface: i, ${rest}, addresses: [10.0.0.1/8] } } }`,
        ),
        node,
      );
    expect(of('vhid: 1, interval: 100ms', 'hast1')).toMatchObject({ advbase: 0, advskew: 26 });
    expect(of('vhid: 1, interval: 100ms', 'hast2')).toMatchObject({ advbase: 0, advskew: 33 });
    expect(of('vhid: 1, interval: 2s', 'hast1')).toMatchObject({ advbase: 2, advskew: 0, intervalMs: 2000 });
    expect(of('protocol: vrrp3, vrid: 1', 'hast1')).toMatchObject({
      vhid: 1,
      priority: 150,
      intervalMs: 1000,
      downAdverts: 3,
    });
    expect(of('protocol: vrrp2, vhid: 1', 'hast2')).toMatchObject({ priority: 100 });
    expect(of('protocol: vrrp3, vrid: 1, interval: 10ms, interval-floor: 10ms', 'hast1').intervalMs).toBe(10);
  });

  it('takes every key of an election', () => {
    const text = around(`groups: { g: { resources: [disk1], address: {
      protocol: vrrp3, interface: i, vrid: 9, addresses: [10.0.0.1/8], priority: { hast1: 200, hast2: 50 },
      interval: 200ms, down-adverts: 5, preempt: true, preempt-delay: 30s, checksum: plain,
      unicast: [10.0.0.2, 10.0.0.3], flap: { transitions: 9, within: 2m }, min-hold: { backup: 5s, master: 6s },
      link-delay: { up: 3s, down: 500ms }, sync-group: web,
      track: [{ interface: eth1 }, { script: /bin/check, weight: -50, interval: 2s, rise: 2, fall: 3 }] } } }`);
    expect(settings(text)).toMatchObject({
      vhid: 9,
      priority: 200,
      intervalMs: 200,
      downAdverts: 5,
      preempt: true,
      preemptDelayMs: 30_000,
      checksum: 'plain',
      unicast: ['10.0.0.2', '10.0.0.3'],
      flap: { transitions: 9, windowMs: 120_000, holdMs: 10_000 },
      minBackupMs: 5000,
      minMasterMs: 6000,
      linkUpDelayMs: 3000,
      linkDownDelayMs: 500,
      syncGroup: 'web',
      track: [
        { name: 'interface eth1', kind: 'interface', target: 'eth1', weight: 0, rise: 1, fall: 1 },
        { name: 'script /bin/check', weight: -50, intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3 },
      ],
    });
  });

  it.each([
    [
      address('protocol: vrrp3, interface: i, vrid: 1, priority: 100'),
      3,
      97,
      'priority is 100 on both nodes',
      'priority: { hast1: 150, hast2: 100 }',
    ],
    [
      address('protocol: vrrp2, interface: i, vrid: 1, interval: 100ms'),
      3,
      97,
      'VRRP 2 speaks every 1 to 255 whole seconds, not every 100 ms',
      'vrrp3',
    ],
    [
      address('protocol: vrrp3, interface: i, vrid: 1, interval: 125ms'),
      3,
      97,
      'hundredths of a second',
      '10 ms',
    ],
    [
      address('protocol: vrrp3, interface: i, vrid: 1, interval: 50ms'),
      3,
      97,
      'adverts every 50 ms are below the floor of 100 ms',
      'interval-floor: 10ms',
    ],
    [
      address('protocol: vrrp3, interface: i, vrid: 1, advskew: 3'),
      3,
      87,
      "'groups.g.address.advskew' has no meaning with protocol vrrp3",
      "'priority'",
    ],
    [
      address('protocol: vrrp3, interface: i, vrid: 1, tie-break: bsd'),
      3,
      87,
      "'groups.g.address.tie-break' has no meaning",
      'remove',
    ],
    [
      address('protocol: vrrp3, interface: i, vrid: 1, password-file: /p'),
      3,
      87,
      'VRRP 3 has no authentication',
      'remove',
    ],
    [address('interface: i, vhid: 1, vrid: 1'), 3, 70, "'vrid' and 'vhid' say the same", 'remove one'],
    [
      address('protocol: vrrp3, interface: i, vhid: 1, vrid: 1'),
      3,
      87,
      "'vrid' and 'vhid' say the same",
      'one',
    ],
    [address('interface: i, vhid: 1, priority: 9'), 3, 70, 'no meaning with protocol carp', "'advskew'"],
    [address('interface: i, vhid: 1, interval: 1s, advbase: 1'), 3, 70, 'say the same', 'remove one'],
    [address('interface: i, vhid: 1, interval: 900ms'), 3, 70, 'CARP cannot speak every 900 ms', '800ms'],
    [address('interface: i, vhid: 1, interval: 1500ms'), 3, 70, 'CARP speaks every', 'whole seconds'],
    [
      address('interface: i, vhid: 1, advbase: 0, advskew: { hast1: 20, hast2: 30 }'),
      3,
      91,
      'adverts every 78.1 ms are below the floor',
      'interval-floor',
    ],
    [
      address('interface: i, vhid: 1, preempt-delay: 5s'),
      3,
      70,
      "'preempt-delay' without 'preempt: true'",
      'preempt: true',
    ],
    [
      address('interface: i, vhid: 1, link-delay: { down: 2s }'),
      3,
      90,
      'after 2000 ms of silence the other node takes over',
      'less than 2000ms',
    ],
    [address('interface: i, vhid: 1, unicast: [10.0.0.1, b]'), 3, 90, 'unicast[1]', ''],
    [address('interface: i, vhid: 1, unicast: [10.0.0.1]'), 3, 79, 'unicast', '2'],
    [
      address('interface: i, vhid: 1, virtual-mac: true, driver: ifconfig'),
      3,
      70,
      'which only Linux has',
      '',
    ],
    [
      address('protocol: kernel-carp, interface: i, vhid: 1, virtual-mac: true'),
      ...([3, 93, 'no meaning with protocol kernel-carp', 'remove'] as const),
    ],
    [address('interface: i, vhid: 1, dad: true'), 3, 70, "'dad' is about IPv6 addresses", 'remove'],
    [
      address('interface: enp3s0, vhid: 1, label: abcdefghij'),
      ...([3, 82, 'the label enp3s0:abcdefghij is longer than the 15', 'label: off'] as const),
    ],
    [address('interface: i, vhid: 1, nopreempt: true'), 3, 70, 'unknown key', "'preempt'"],
    [address('interface: i, vhid: 1, track: [{ weight: 5 }]'), 3, 78, 'must have one of', ''],
    [
      address('interface: i, vhid: 1, track: [{ file: /f }, { file: /f }]'),
      3,
      92,
      "'file /f' is tracked twice",
      'remove one',
    ],
    [
      address('interface: i, vhid: 1, track: [{ tcp: "a:1", timeout: 2s }]'),
      3,
      78,
      'tcp a:1: a check may take 2000 ms',
      'timeout',
    ],
    [
      member('address: { protocol: vrrp2, interface: i, vrid: 1, addresses: [fd00::1/64] }'),
      3,
      99,
      'VRRP 2 has no IPv6',
      'vrrp3',
    ],
  ])('is refused %j at %i:%i', (text, line, column, message, hint) => {
    const [first] = faults(text);
    expect(first).toMatchObject({ file: 'hastate.yaml', line, column, severity: 'error' });
    expect(first?.message).toContain(message);
    expect(first?.hint ?? '').toContain(hint);
  });
});
