import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ConfigFileError } from '../../../src/config/diagnostics.ts';
import type { Diagnostic } from '../../../src/config/diagnostics.ts';
import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import type { HastateSettings, HastSettings } from '../../../src/model/settings.ts';

const sample = (name: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../../etc/${name}`, import.meta.url)), 'utf8');

let hastConf: string;
let yaml: string;
beforeAll(async () => {
  hastConf = await sample('hast.conf.sample');
  yaml = await sample('hastate.yaml.sample');
});

function hast(node: string): HastSettings {
  const identity = { hostname: node, hostuuid: null, hostid: null };
  return resolveHastConf(parseHastConf(hastConf, 'hast.conf'), { node, identity });
}

function settings(text: string, node = 'hast1', warnings: Diagnostic[] = []): HastateSettings {
  return parseHastate(text, 'hastate.yaml', hast(node), { onWarning: (warning) => warnings.push(warning) });
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

function warnings(text: string): string[] {
  const found: Diagnostic[] = [];
  settings(text, 'hast1', found);
  return found.map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

/** Enough of a file, in one line each, to hang one fault on line 3. */
const around = (group: string): string =>
  `insecure: true\nnodes: { hast1: { peer: a }, hast2: { peer: b } }\n${group}`;

describe('hastate.yaml', () => {
  it('loads the sample for either node', () => {
    expect(settings(yaml)).toEqual({
      node: 'hast1',
      peer: { name: 'hast2', addresses: [{ host: '10.10.10.182', port: 8459 }] },
      peerListen: [{ host: '10.10.10.181', port: 8459 }],
      advertPort: 8460,
      secretFile: '/etc/hastate.secret',
      tls: null,
      insecure: false,
      references: ['10.10.10.1'],
      fence: { delayMs: 1000, hooks: null },
      watchdog: { stuckAfterMs: null, file: null, program: null },
      timing: { heartbeatMs: 100, promotionDelayMs: 500, slackMs: 50, leaseMs: 400, holdMs: 600 },
      resyncRates: { disk1: 0, disk2: 0, disk3: 0 },
      hooksDir: null,
      groups: [
        {
          name: 'storage',
          policy: 'available',
          prefer: 'hast1',
          failback: 'never',
          failbackDelayMs: 0,
          bootWaitMs: 0,
          afterSplit: 'disconnect',
          allowLoss: false,
          peerKind: 'hastate',
          resources: ['disk1', 'disk2', 'disk3'],
          hooks: { '10-zfs': { pool: 'zhast' }, '60-nfs': { directory: '/zhast' } },
          monitor: { usual: null, hooks: {} },
          device: 'auto',
          address: {
            protocol: 'carp',
            interface: 're0',
            vhid: 1,
            advbase: 1,
            advskew: 0,
            priority: 100,
            intervalMs: 1000,
            downAdverts: 3,
            passwordFile: '/etc/hastate.carp',
            addresses: ['10.10.10.180/24'],
            options: { label: 'ha', deprecated: false, dad: false },
            virtualMac: false,
            common: expect.stringContaining('10.10.10.180/24') as string,
            transport: 'auto',
            driver: 'auto',
            preempt: false,
            preemptDelayMs: 0,
            checksum: 'auto',
            unicast: [],
            tieBreak: 'bsd',
            counter: 'loop',
            flap: { transitions: 6, windowMs: 60_000, holdMs: 10_000 },
            minBackupMs: 0,
            minMasterMs: 0,
            linkUpDelayMs: 0,
            linkDownDelayMs: 0,
            track: [],
            syncGroup: null,
          },
        },
      ],
      visualizer: { host: '127.0.0.1', port: 8458 },
      log: {
        level: 'info',
        format: 'auto',
        syslog: { facility: 'local0', severity: null, tag: 'hastate', to: { kind: 'local', path: null } },
      },
    });
    expect(settings(yaml, 'hast2')).toMatchObject({
      node: 'hast2',
      peer: { name: 'hast1', addresses: [{ host: '10.10.10.181', port: 8459 }] },
      peerListen: [{ host: '10.10.10.182', port: 8459 }],
      groups: [{ address: { advskew: 100 } }],
    });
  });

  it('needs nothing of an empty file', () => {
    const nothing = settings('# nothing\n');
    expect(nothing).toMatchObject({
      peer: null,
      peerListen: [],
      groups: [],
      insecure: false,
      secretFile: null,
      tls: null,
    });
    expect(nothing.log).toEqual({ level: 'info', format: 'auto', syslog: 'when-detached' });
  });

  it.each([
    ['local', { kind: 'local', path: null }],
    ['/run/log', { kind: 'local', path: '/run/log' }],
    ['udp://10.0.0.9', { kind: 'udp', host: '10.0.0.9', port: 514 }],
    ['udp://[fe80::1]:5514', { kind: 'udp', host: 'fe80::1', port: 5514 }],
    ['tcp://logs.example.org', { kind: 'tcp', host: 'logs.example.org', port: 601 }],
  ])('sends the log to %s', (to, target) => {
    const text = `log: { syslog: { facility: daemon, severity: debug, tag: carp-hast, to: '${to}' } }`;
    expect(settings(text).log.syslog).toEqual({
      facility: 'daemon',
      severity: 7,
      tag: 'carp-hast',
      to: target,
    });
  });

  it('keeps the log out of syslog when it is told so', () => {
    expect(settings('log: { syslog: ~ }').log.syslog).toBeNull();
  });

  it('takes lists of addresses, maps by node, durations and every other key', () => {
    const text = `
secret-file: /s
nodes: { hast1: { peer: [10.0.0.1:9000, '[fe80::1]:9001', fe80::2] }, hast2: { peer: host.example.org } }
advert-port: 9999
hooks-dir: /hooks
timing: { heartbeat: 50ms, promotion-delay: 2s, slack: 100ms }
visualizer: off
groups:
  g: { resources: [disk1], hooks: { 10-a: { n: 5, b: true }, 20-b: }, device: none, policy: manual,
       address: { protocol: vrrp3, interface: { hast1: eth0, hast2: eth1 }, vrid: 7,
                  addresses: ['fd00::1/64'], transport: udp, driver: simulated, preempt: true } }`;
    const found = settings(text, 'hast2');
    expect(found.peer?.addresses).toEqual([
      { host: '10.0.0.1', port: 9000 },
      { host: 'fe80::1', port: 9001 },
      { host: 'fe80::2', port: 8459 },
    ]);
    expect(found).toMatchObject({ advertPort: 9999, hooksDir: '/hooks', visualizer: null });
    expect(found.timing).toEqual({
      heartbeatMs: 50,
      promotionDelayMs: 2000,
      slackMs: 100,
      leaseMs: 1800,
      holdMs: 2200,
    });
    expect(found.groups[0]?.hooks).toEqual({ '10-a': { n: '5', b: 'true' }, '20-b': {} });
    expect(found.groups[0]?.address).toMatchObject({
      interface: 'eth1',
      transport: 'udp',
      driver: 'simulated',
    });
  });

  it.each([
    ['resync-rate: 50MB/s', { disk1: 50e6, disk2: 50e6, disk3: 50e6 }],
    ['resync-rate: { disk2: 1.5GiB/s }', { disk1: 0, disk2: 1.5 * 1024 ** 3, disk3: 0 }],
    ['resync-rate: { disk1: 64KiB/s, disk3: 0 }', { disk1: 65536, disk2: 0, disk3: 0 }],
    ['resync-rate: 0', { disk1: 0, disk2: 0, disk3: 0 }],
  ])('limits the rate of a resync: %s', (line, rates) => {
    expect(settings(`insecure: true\n${line}`).resyncRates).toEqual(rates);
  });

  it.each([
    ['prefer: hast2, ', 1, 100, 0],
    ['', 1, 0, 100],
    ['', 0, 26, 33],
  ])('gives the nodes different skews by itself (%j, advbase %i)', (prefer, advbase, first, second) => {
    const text = around(
      `groups: { g: { ${prefer}resources: [disk1], address: { interface: i, vhid: 1, advbase: ${advbase}, addresses: [10.0.0.1/8] } } }`,
    );
    expect(settings(text, 'hast1').groups[0]?.address?.advskew).toBe(first);
    expect(settings(text, 'hast2').groups[0]?.address?.advskew).toBe(second);
  });

  const member = (rest: string): string => around(`groups: { g: { resources: [disk1], ${rest} } }`);
  const address = (rest: string): string =>
    member(`address: { ${rest}, addresses: [10.0.0.9/8] }`).replace('{ ,', '{');
  it.each<[text: string, line: number, column: number, message: string, hint: string]>([
    ['a: [', 1, 5, 'not valid YAML', 'indentation'],
    ['log: {}\nlog: {}', 2, 1, 'not valid YAML', 'remove one'],
    ['- list', 1, 1, "'the file' is a list", 'a map'],
    ['lgo: {}', 1, 1, "unknown key 'lgo'", "did you mean 'log'?"],
    ['log: { levle: info }', 1, 8, "unknown key 'log.levle'", "did you mean 'level'?"],
    ['log: { level: inof }', 1, 15, "'log.level' cannot be 'inof'", "did you mean 'info'?"],
    ['log: { syslog: { facility: local9 } }', 1, 28, "'log.syslog.facility' cannot be 'local9'", 'local0'],
    ['log: { syslog: { tag: "a b" } }', 1, 23, 'at most 48 letters', 'a b'],
    ['log: { syslog: { severity: loud } }', 1, 28, "'log.syslog.severity' cannot be 'loud'", 'info'],
    ['log: { syslog: { to: "tcp://h:0" } }', 1, 22, "port '0' is not between", 'tcp://HOST:601'],
    ['log: { syslog: { to: h.example.org } }', 1, 22, 'none of these forms', 'udp://HOST:514'],
    ['log: { format: xml }', 1, 16, "'log.format' cannot be 'xml'", 'json'],
    ['\nadvert-port: 70000', 2, 14, "'advert-port' is 70000", 'at most 65535'],
    ['advert-port: many', 1, 14, "'advert-port' is 'many'", 'a number'],
    ['secret-file: etc/x', 1, 14, 'absolute path', 'etc/x'],
    ['timing: { lease: 400 }', 1, 18, "'timing.lease' is 400", 'a word'],
    ['timing: { lease: 400 s }', 1, 18, 'duration with a unit', '400 s'],
    ['insecure: true\ntiming: { lease: 500ms }', 2, 1, 'lease 500 ms + slack 50 ms = 550 ms is not less', ''],
    ['insecure: true\ntiming: { hold: 500ms }', 2, 1, 'hold 500 ms is less than', ''],
    ['timing: { heartbeat: 300ms }', 1, 1, 'heartbeat 300 ms does not fit twice', ''],
    ['insecure: true\nresync-rate: fast', 2, 14, "'resync-rate' is fast", '50MB/s'],
    ['insecure: true\nresync-rate: 50', 2, 14, 'rate with a unit', '50MB/s'],
    ['insecure: true\nresync-rate: 50kb/s', 2, 14, 'rate with a unit', '50MB/s'],
    ['insecure: true\nresync-rate: 1kB/s', 2, 14, "'resync-rate' is 1kB/s", 'at least 64KiB/s'],
    ['insecure: true\nresync-rate: { disk1: 5 MB }', 2, 23, "'resync-rate.disk1' is 5 MB", '50MB/s'],
    ['insecure: true\nresync-rate: { disk9: 50MB/s }', 2, 16, "has 'disk9', which is no resource", 'disk1'],
    ['references: [10.0.0.1, 10.0.0.1]', 1, 24, 'two votes', 'remove one'],
    ['references: ["10.0.0.1:80"]', 1, 14, 'has a port', '10.0.0.1'],
    ['visualizer: { listen: "x:0" }', 1, 23, "port '0'", 'HOST:PORT'],
    ['visualizer: { lisen: "x:0" }', 1, 15, "unknown key 'visualizer.lisen'", "'listen'"],
    [
      'insecure: true\nnodes: { hast1: {}, hast3: {} }',
      2,
      21,
      "no node of hast.conf: 'hast3'",
      "did you mean 'hast1'?",
    ],
    ['insecure: true\nnodes: { hast2: {} }', 2, 1, 'does not name this node, hast1', "add 'hast1"],
    ['insecure: true\nnodes: { hast1: { peer: 10.0.0 } }', 2, 25, 'no IPv4 address', 'HOST'],
    ['nodes: { hast1: { peer: a }, hast2: { peer: b } }', 1, 1, "'secret-file' is missing", '0600'],
    ['secret-file: /x\ninsecure: true', 2, 1, 'exclude each other', 'remove one'],
    [around('groups: { g: { resources: [] } }'), 3, 27, "'groups.g.resources'", 'at least 1 item'],
    [around('groups: { g: { resources: disk1 } }'), 3, 27, "is 'disk1'", 'a list'],
    [around('groups: { g: {} }'), 3, 11, "'groups.g.resources' is missing", 'add it'],
    [around('groups: { 9g: { resources: [disk1] } }'), 3, 11, "'groups.9g' must be letters", 'rename'],
    [around('groups: { g: { resources: [disk9] } }'), 3, 28, "no resource 'disk9'", "did you mean 'disk1'?"],
    [around('groups: { g: { resources: [disk1, disk1] } }'), 3, 35, 'already in group g', 'remove'],
    [
      around('groups: { g: { resources: [disk1] }, h: { resources: [disk1] } }'),
      3,
      55,
      'resource disk1 is already in group g',
      'one group',
    ],
    [member('prefer: hast9'), 3, 44, "no node of hast.conf: 'hast9'", 'hast1'],
    [member('failback: auto'), 3, 36, 'no node to go back to', 'prefer'],
    [member('policy: consistent, allow-loss: true'), 3, 56, "'allow-loss' contradicts", 'available'],
    [member('peer-kind: hastd, after-split: discard-zero-changes'), 3, 54, 'cannot be asked', 'remove it'],
    [member('hooks: { zfs: {} }'), 3, 45, "'groups.g.hooks.zfs' must be the name of a hook", 'rename'],
    [member('hooks: { 10-zfs: { pool: [a] } }'), 3, 61, "'groups.g.hooks.10-zfs.pool' is a list", ''],
    [member('vhid: 1'), 3, 36, "unknown key 'groups.g.vhid'", 'known here'],
    [address('vhid: 1'), 3, 36, "'groups.g.address.interface' is missing", 're0'],
    [address('interface: i'), 3, 36, "'groups.g.address.vhid' is missing", 'vhid: 1'],
    [address('interface: i, vhid: 256'), 3, 67, "'groups.g.address.vhid' is 256", 'at most 255'],
    [address('interface: i, vrid: 2'), 3, 61, "'groups.g.address.vrid' has no meaning", "write 'vhid'"],
    [
      address('interface: i, vhid: 1, advskew: 5'),
      3,
      79,
      'advskew is 5 on both nodes',
      '{ hast1: 0, hast2: 100 }',
    ],
    [address('interface: i, vhid: 1, advskew: { hast1: 5 }'), 3, 70, 'no value for node hast2', 'hast2'],
    [address('interface: i, vhid: 1, advskew: { hast1: 5, hast2: 5 }'), 3, 79, 'on both nodes', 'hast2: 100'],
    [
      address('interface: i, vhid: 1, advskew: { hast1: 5, hast2: 400 }'),
      3,
      98,
      'advskew.hast2',
      'at most 254',
    ],
    [address('interface: { hast1: i, hast2: i, hastX: i }, vhid: 1'), 3, 80, "'hastX'", 'hast1'],
    [
      address('interface: i, vhid: 1, advbase: 0, advskew: { hast1: 0, hast2: 9 }'),
      3,
      91,
      'no pause',
      'advskew 26',
    ],
    [
      member('address: { interface: i, vhid: 1 }'),
      3,
      36,
      "'groups.g.address.addresses' is missing",
      '192.0.2.1/24',
    ],
    [
      member('address: { interface: i, vhid: 1, addresses: [10.0.0.1] }'),
      3,
      82,
      'prefix length is missing',
      '',
    ],
    [member('address: { interface: i, vhid: 1, addresses: [10.0.0.1/33] }'), 3, 82, '/33 is not between', ''],
    [
      around(`groups:
  g: { resources: [disk1], address: { interface: i, vhid: 1, addresses: [10.0.0.1/8] } }
  h: { resources: [disk2], address: { interface: i, vhid: 1, addresses: [10.0.0.1/8] } }`),
      5,
      59,
      'vhid 1 on i is already used by group g',
      'own vhid',
    ],
    [
      around(`groups:
  g: { resources: [disk1], address: { interface: i, vhid: 1, addresses: [10.0.0.1/8] } }
  h: { resources: [disk2], address: { interface: i, vhid: 2, addresses: [10.0.0.1/8] } }`),
      5,
      74,
      'address 10.0.0.1 is already served by group g',
      'remove',
    ],
  ])('refuses %j at %i:%i', (text, line, column, message, hint) => {
    const [first] = faults(text);
    expect(first).toMatchObject({ file: 'hastate.yaml', line, column, severity: 'error' });
    expect(first?.message).toContain(message);
    expect(first?.hint ?? '').toContain(hint);
  });

  it.each([
    [around(''), '1:1: anybody on the network can speak as the other node'],
    [
      'insecure: true\ngroups: { g: { resources: [disk1] } }',
      "1:1: without 'nodes' there is no peer channel",
    ],
    [member('policy: consistent'), "3:44: group g: 'policy: consistent' promotes only after a fence hook"],
    [member('peer-kind: hastd'), '3:47: group g: beside a plain hastd'],
    [address('interface: i, vhid: 1'), '3:36: adverts without a password'],
    ['visualizer: { listen: 0.0.0.0 }', '1:23: the page is shown to everybody who reaches 0.0.0.0'],
  ])('warns about %j', (text, warning) => {
    expect(warnings(text)).toContainEqual(expect.stringContaining(warning));
  });

  it('warns of an async resource that would never be promoted, unless loss is allowed', () => {
    const before = hastConf;
    hastConf = `replication async\n${before}`;
    try {
      expect(warnings(member('policy: available'))).toContainEqual(
        expect.stringContaining("3:28: group g: disk1 is 'replication async'"),
      );
      expect(warnings(member('allow-loss: true')).join()).not.toContain('async');
    } finally {
      hastConf = before;
    }
  });

  it('answers any change of the sample with settings or with errors that have a place', () => {
    const edit = fc.tuple(
      fc.nat(yaml.length),
      fc.nat(30),
      fc.constantFrom('', ':', '\n', '{', ' ', '- ', '&a', '*a', '"', '\t', '0'),
    );
    fc.assert(
      fc.property(edit, ([at, length, insert]) => {
        for (const { line, column } of faults(yaml.slice(0, at) + insert + yaml.slice(at + length))) {
          expect(line).toBeGreaterThanOrEqual(1);
          expect(column).toBeGreaterThanOrEqual(1);
        }
      }),
      { numRuns: 300 },
    );
  });
});
