import { describe, expect, it } from 'vitest';

import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import type { Settings } from '../../../src/daemon/load-settings.ts';
import type { NodeCertificates } from '../../../src/model/certificates.ts';
import { planReload } from '../../../src/daemon/reload-plan.ts';

const CONF = `control /c pidfile /p listen 10.0.0.1
resource disk1 { on hasta { local /1 remote 10.0.0.2 } on hastb { local /1 remote 10.0.0.1 } }
resource disk2 { on hasta { local /2 remote 10.0.0.2 } on hastb { local /2 remote 10.0.0.1 } }`;
const YAML = `
nodes: { hasta: { peer: 10.0.0.1 }, hastb: { peer: 10.0.0.2 } }
secret-file: /s
groups:
  storage:
    prefer: hasta
    resources: [disk1]
    hooks: { 10-a: { x: 1 } }
    address: { interface: eth0, vhid: 1, addresses: [10.0.0.9/24] }
`;

function files(
  conf = CONF,
  yaml = YAML,
  secret: Buffer | null = null,
  certificates: NodeCertificates | null = null,
): Settings {
  const identity = { hostname: 'hasta', hostuuid: null, hostid: null };
  const hast = resolveHastConf(parseHastConf(conf, 'hast.conf'), { identity });
  return { hast, settings: parseHastate(yaml, 'hastate.yaml', hast), secret, certificates };
}

function change(from: string, to: string) {
  const changed = (text: string): string => text.replace(from, to);
  if (!CONF.includes(from) && !YAML.includes(from)) throw new Error(`${from} is nowhere`);
  return {
    plan: planReload(files(), files(changed(CONF), changed(YAML))),
    after: files(changed(CONF), changed(YAML)),
  };
}

describe('a reload', () => {
  it('takes up other secrets of the same secret-file, and those of another file only after a restart', () => {
    const [before, after] = [Buffer.from('before'), Buffer.from('after')];
    const same = planReload(files(CONF, YAML, before), files(CONF, YAML, after));
    expect([same.secret, same.applied]).toEqual([after, ['the secrets in secret-file']]);
    const moved = YAML.replace('secret-file: /s', 'secret-file: /t');
    const other = planReload(files(CONF, YAML, before), files(CONF, moved, after));
    expect([other.secret, other.applied, other.needsRestart]).toEqual([before, [], ['secret-file']]);
  });

  it('takes up other certificates, also of other files, and those in place of a secret only after a restart', () => {
    const tls = (name: string): string =>
      YAML.replace(
        'secret-file: /s',
        `tls: { certificate: /${name}.crt, key: /${name}.key, authority: /ca }`,
      );
    const [before, after] = ['before', 'after'].map((key) => ({ certificate: '', key, authority: '' }));
    const running = files(CONF, tls('a'), null, before);
    for (const name of ['a', 'b']) {
      const plan = planReload(running, files(CONF, tls(name), null, after));
      expect([plan.applied, plan.needsRestart]).toEqual([['the certificates of tls'], []]);
      expect([plan.certificates, plan.settings.tls?.key]).toEqual([after, `/${name}.key`]);
    }
    const secret = Buffer.from('a secret');
    const gone = planReload(running, files(CONF, YAML, secret));
    expect([gone.applied, gone.needsRestart]).toEqual([[], ['secret-file', 'tls']]);
    expect([gone.certificates, gone.secret, gone.settings.tls?.key]).toEqual([before, null, '/a.key']);
    const come = planReload(files(CONF, YAML, secret), files(CONF, tls('a'), null, after));
    expect([come.applied, come.needsRestart]).toEqual([[], ['secret-file', 'tls']]);
    expect([come.certificates, come.secret]).toEqual([null, secret]);
  });

  it('says that another resync-rate needs a restart, and gives a new resource its own at once', () => {
    const rated = (rates: string): string => `${YAML}resync-rate: ${rates}\n`;
    const disk3 =
      '\nresource disk3 { on hasta { local /3 remote 10.0.0.2 } on hastb { local /3 remote 10.0.0.1 } }';
    const before = files(CONF, rated('{ disk1: 1MB/s }'));
    const faster = planReload(before, files(CONF, rated('{ disk1: 2MB/s }')));
    expect(faster.needsRestart).toEqual(['resync-rate']);
    expect(faster.settings.resyncRates['disk1']).toBe(before.settings.resyncRates['disk1']);
    expect(planReload(before, files(CONF, rated('{ disk2: 0 }'))).needsRestart).toEqual(['resync-rate']);
    const more = planReload(before, files(CONF + disk3, rated('{ disk1: 1MB/s, disk3: 3MB/s }')));
    expect(more.needsRestart).toEqual([]);
    expect(more.settings.resyncRates['disk3']).toBeGreaterThan(2_900_000);
  });

  it('of the same files does nothing', () => {
    const { plan } = change('disk1 {', 'disk1  {');
    expect(plan).toMatchObject({
      added: [],
      removed: [],
      changed: [],
      groups: [],
      applied: [],
      needsRestart: [],
    });
    const { hast, settings, secret, certificates } = plan;
    expect({ hast, settings, secret, certificates }).toEqual(files());
  });

  it.each([
    ['remote 10.0.0.2 }', 'remote 10.0.0.3 }', 'remote'],
    ['remote 10.0.0.2 }', 'remote none }', 'remote'],
    ['remote 10.0.0.2 }', 'remote 10.0.0.2 source 10.0.0.7 }', 'source'],
    ['disk1 {', 'disk1 { replication async', 'replication'],
    ['disk1 {', 'disk1 { checksum crc32', 'checksum'],
    ['disk1 {', 'disk1 { compression lzf', 'compression'],
    ['disk1 {', 'disk1 { timeout 3', 'timeout'],
    ['disk1 {', 'disk1 { exec /x', 'exec'],
    ['disk1 {', 'disk1 { metaflush off', 'metaflush'],
  ])('follows %s -> %s at once', (from, to, word) => {
    const { plan, after } = change(from, to);
    expect(plan.changed).toEqual([{ after: after.hast.resources[0], reopen: false }]);
    expect([plan.applied, plan.needsRestart]).toEqual([[`resource disk1: ${word}`], []]);
    expect(plan.hast).toEqual(after.hast);
  });

  it.each([
    ['local /1', 'local /other', 'local'],
    ['disk1 {', 'disk1 { name prov', 'name'],
  ])('opens the resource again for %s -> %s', (from, to, word) => {
    const { plan } = change(from, to);
    expect(plan.changed).toMatchObject([{ reopen: true }]);
    expect(plan.applied).toEqual([`resource disk1: ${word}`]);
  });

  it('says which resources come and go, and keeps one that a group still has', () => {
    const [first = '', second = '', third = ''] = CONF.split('\n');
    const gone = planReload(files(), files([first, second].join('\n')));
    expect(gone).toMatchObject({
      removed: ['disk2'],
      applied: ['resource disk2 (removed)'],
      needsRestart: [],
    });
    const kept = planReload(files(), files([first, third].join('\n'), YAML.replace('disk1', 'disk2')));
    expect(kept.needsRestart).toEqual([
      'groups.storage.resources',
      'resource disk1 (removed, and a member of a group)',
    ]);
    expect(kept.hast.resources.map(({ name }) => name)).toEqual(['disk2', 'disk1']);
    const fresh = planReload(files(), files(`${CONF}\n${third.replace('disk2', 'disk3')}`));
    expect(fresh).toMatchObject({ added: [{ name: 'disk3' }], applied: ['resource disk3 (new)'] });
  });

  it.each([
    ['secret-file: /s', 'secret-file: /s\nreferences: [10.0.0.254]', 'references'],
    ['secret-file: /s', 'secret-file: /s\nlog: { level: debug }', 'log'],
    ['{ x: 1 }', '{ x: 2 }', 'groups.storage.hooks'],
    ['resources: [disk1]', 'resources: [disk1]\n    policy: manual', 'groups.storage.policy'],
    ['resources: [disk1]', 'resources: [disk1]\n    failback: auto', 'groups.storage.failback'],
    ['vhid: 1', 'vhid: 2', 'groups.storage.address.vhid'],
    ['10.0.0.9/24', '10.0.0.9/24, 10.0.0.8/24', 'groups.storage.address.addresses'],
    ['vhid: 1', 'vhid: 1, advskew: { hasta: 1, hastb: 9 }', 'groups.storage.address.advskew'],
    ['vhid: 1', 'vhid: 1, password-file: /p', 'groups.storage.address.password-file'],
    ['vhid: 1', 'vhid: 1, preempt: true', 'groups.storage.address.preempt'],
  ])('follows %s -> %s of hastate.yaml at once', (from, to, word) => {
    const { plan, after } = change(from, to);
    expect([plan.applied, plan.needsRestart]).toEqual([[word], []]);
    expect(plan.settings).toEqual(after.settings);
  });

  it.each([
    ['secret-file: /s', 'secret-file: /other', 'secret-file'],
    ['secret-file: /s', 'insecure: true', 'secret-file, insecure'],
    ['secret-file: /s', 'secret-file: /s\ntiming: { heartbeat: 90ms }', 'timing'],
    ['secret-file: /s', 'secret-file: /s\nadvert-port: 9', 'advert-port'],
    ['secret-file: /s', 'secret-file: /s\nhooks-dir: /h', 'hooks-dir'],
    ['secret-file: /s', 'secret-file: /s\nvisualizer: off', 'visualizer'],
    ['hastb: { peer: 10.0.0.2 }', 'hastb: { peer: 10.0.0.3 }', 'nodes'],
    ['vhid: 1', 'vhid: 1, driver: ip', 'groups.storage.address.driver'],
    ['vhid: 1', 'vhid: 1, track: [{ file: /f }]', 'groups.storage.address.track'],
    ['vhid: 1', 'vhid: 1, label: x', 'groups.storage.address.label'],
    ['address: {', 'address: { protocol: kernel-carp,', 'groups.storage.address'],
    ['resources: [disk1]', 'resources: [disk1, disk2]', 'groups.storage.resources'],
    ['resources: [disk1]', 'resources: [disk1]\n    peer-kind: hastd', 'groups.storage.peer-kind'],
    ['  storage:', '  stores:', 'groups.storage, groups.stores'],
  ])('leaves %s -> %s to a restart, and says so', (from, to, words) => {
    const { plan } = change(from, to);
    expect(plan.needsRestart.join(', ')).toBe(words);
    // The settings are those that run, so that the next reload says it again.
    expect(plan.settings).toEqual(files().settings);
  });

  it('moves what is listened on', () => {
    expect(change('listen 10.0.0.1', 'listen 10.0.0.2').plan.applied).toEqual(['listen']);
    expect(change('control /c pidfile /p', 'control /d pidfile /q').plan.applied).toEqual([
      'pidfile',
      'control',
    ]);
  });
});
