/** Both files read again while everything runs: SIGHUP, as hastd takes it, and `reload`. */
import { existsSync } from 'node:fs';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { NodeStatus, ReloadResult } from '../../src/protocol/control.ts';
import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { journalOf, untilPaired } from '../support/failover.ts';
import { freeTcpPort } from '../support/free-ports.ts';
import { Lab, makeDisk } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually, StampedClients } from '../support/stamped-clients.ts';

let lab: Lab;
afterEach(() => lab.close());

function reload(daemon: LabDaemon): Promise<ReloadResult> {
  return daemon.request('reload', {}, 20_000) as Promise<ReloadResult>;
}

async function disconnections(daemon: LabDaemon): Promise<number> {
  return (await journalOf(daemon)).filter(({ kind }) => kind === 'engine.disconnected').length;
}

describe.skipIf(needs('sh'))('a pair with clients', () => {
  let pair: { hasta: LabDaemon; hastb: LabDaemon };
  let clients: StampedClients;
  beforeEach(async () => {
    lab = await Lab.make();
    pair = await lab.startPair();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    clients = new StampedClients([pair.hasta]).start();
    await eventually('the first answers', () => clients.answers.length > 50);
  });
  afterEach(() => clients.stop());

  async function goesOn(): Promise<void> {
    const before = clients.answers.length;
    await eventually('more answers', () => clients.answers.length > before + 50);
  }

  it('is served without a break while the primary takes up everything that hastd takes up at once', async () => {
    const calls = join(lab.directory, 'calls');
    const exec = await lab.writeHook('exec', `echo "$@" >> ${calls}`);
    await lab.edit(lab.hastConf, (text) =>
      text.replace(
        'replication memsync\n\ttimeout 5',
        `replication fullsync checksum crc32 compression lzf timeout 7 metaflush off exec ${exec}`,
      ),
    );
    pair.hasta.signal('SIGHUP');
    const taken = (status: NodeStatus): boolean => resourceOf(status, 'disk1').replication === 'fullsync';
    const status = await pair.hasta.until('reloaded', taken);
    expect(resourceOf(status, 'disk1')).toMatchObject({
      checksum: 'crc32',
      compression: 'lzf',
      role: 'primary',
    });
    await goesOn();
    expect(await disconnections(pair.hasta)).toBe(0);
    expect(
      await pair.hasta.logged(
        'now in force: resource disk1: replication, checksum, compression, timeout, exec, metaflush',
      ),
    ).toHaveLength(1);
    // The secondary is connected anew with them, and keeps its role.
    expect(await reload(pair.hastb)).toMatchObject({ accepted: true, problems: [], needsRestart: [] });
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    expect(await disconnections(pair.hastb)).toBe(1);
    await goesOn();
    // And exec is the new one.
    await eventually(
      'exec',
      async () => existsSync(calls) && (await readFile(calls, 'utf8')).includes('connect disk1'),
    );
    await clients.stop();
    expect(clients.stale).toEqual([]);
  });

  it('connects from the new source address, and to the new port of its peer', async () => {
    const port = await freeTcpPort(lab.places.hastb.host);
    await lab.edit(lab.hastConf, (text) =>
      text
        .replace(`source tcp4://${lab.places.hasta.host}`, 'source tcp4://127.0.0.31')
        .replaceAll(
          `${lab.places.hastb.host}:${lab.places.hastb.dataPort}`,
          `${lab.places.hastb.host}:${port}`,
        )
        .replace(`remote tcp4://${lab.places.hasta.host}:`, 'remote tcp4://127.0.0.31:'),
    );
    expect((await reload(pair.hastb)).applied).toEqual(['resource disk1: remote', 'listen']);
    expect((await reload(pair.hasta)).applied).toEqual(['resource disk1: remote, source']);
    await pair.hastb.until('connected from there', () => existsSync(pair.hastb.files.log));
    await eventually(
      'a connection from there',
      async () => (await pair.hastb.logged('Connected to the primary at 127.0.0.31')).length > 0,
    );
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    await goesOn();
    await clients.stop();
    expect(clients.stale).toEqual([]);
  });

  it('keeps its settings and says why when a file is wrong, until it is right again', async () => {
    const right = await readFile(lab.hastConf, 'utf8');
    const wrong = right.replace('replication memsync', 'replication fullsyn');
    await writeFile(lab.hastConf, wrong);
    const line = wrong.split('\n').findIndex((text) => text.includes('fullsyn')) + 1;
    const place = `${lab.hastConf}:${line}:14: 'replication' cannot be 'fullsyn'; did you mean 'fullsync'?`;
    pair.hasta.signal('SIGHUP');
    const { warnings, resources } = await pair.hasta.until('warned', (s) => s.warnings.length > 0);
    expect(warnings).toEqual([`reload refused: ${place}`]);
    expect(resources[0]?.replication).toBe('memsync');
    expect(await pair.hasta.logged(`error: ${place}`)).toHaveLength(1);
    await writeFile(lab.hastConf, right);
    await lab.edit(lab.hastateYaml, (text) => `${text}\nnonsense: 1\n`);
    const { accepted, problems } = await reload(pair.hasta);
    expect([accepted, problems]).toEqual([false, [expect.stringContaining("unknown key 'nonsense'")]]);
    await lab.edit(lab.hastateYaml, (text) => text.replace('nonsense: 1\n', ''));
    expect(await reload(pair.hasta)).toEqual({ accepted: true, applied: [], needsRestart: [], problems: [] });
    expect((await pair.hasta.status()).warnings).toEqual([]);
    await goesOn();
    expect(await disconnections(pair.hasta)).toBe(0);
  });
});

describe.skipIf(needs('sh'))('one node', () => {
  let daemon: LabDaemon;
  const conf = () => lab.places.hasta;

  async function startAlone(options: Parameters<typeof Lab.make>[0] = {}): Promise<void> {
    lab = await Lab.make(options);
    daemon = lab.daemon('hasta').start();
    await daemon.untilRunning();
  }

  function section(name: string): string {
    return `resource ${name} { on hasta { local ${conf().disk(name)} remote none } on hastb { local /none remote none } }\n`;
  }

  it('opens a new resource in role init, and lets one go that is no longer there', async () => {
    await startAlone();
    await makeDisk(conf().disk('disk2'), 8);
    const before = await readFile(lab.hastConf, 'utf8');
    const calls = join(lab.directory, 'calls');
    const exec = await lab.writeHook('exec', `echo "$@" >> ${calls}`);
    await appendFile(lab.hastConf, section('disk2').replace('{', `{ exec ${exec}`));
    expect((await lab.hastate('hasta', 'create', 'disk2')).code).toBe(0);
    daemon.signal('SIGHUP');
    const added = await daemon.until('there', (s) => s.groups.some(({ name }) => name === 'disk2'));
    expect(resourceOf(added, 'disk2')).toMatchObject({ role: 'init', error: null });
    await daemon.untilAlone();
    expect((await lab.hastate('hasta', 'role', 'primary', 'disk2')).code).toBe(0);
    expect(resourceOf(await daemon.status(), 'disk2').export).not.toBeNull();
    await writeFile(lab.hastConf, before);
    expect((await reload(daemon)).applied).toEqual(['resource disk2 (removed)']);
    const gone = await daemon.status();
    expect([gone.resources.map(({ name }) => name), gone.groups.map(({ name }) => name)]).toEqual([
      ['disk1'],
      ['storage'],
    ]);
    expect(await daemon.logged('disk2: role primary -> init')).toHaveLength(1);
    // Its program hears of the end although hast.conf has it no more.
    await eventually('the last event', async () =>
      (await readFile(calls, 'utf8')).endsWith('role disk2 primary init\n'),
    );
    // Nothing holds the disk any more.
    await appendFile(lab.hastConf, section('disk2'));
    await reload(daemon);
    expect(resourceOf(await daemon.status(), 'disk2').error).toBeNull();
  });

  it('opens another disk in the role that the resource had', async () => {
    await startAlone({ resources: ['disk1', 'disk2'], groups: [{ name: 'storage', resources: ['disk1'] }] });
    await daemon.until('a standby', (s) => resourceOf(s, 'disk1').role === 'secondary');
    await daemon.untilAlone();
    await daemon.request('promote', { group: 'disk2', force: true, reason: 'a test' }, 20_000);
    await makeDisk(`${conf().disk('disk1')}.new`, 8);
    await makeDisk(`${conf().disk('disk2')}.new`, 8);
    await lab.edit(lab.hastConf, (text) =>
      text.replace(`local ${conf().disk('disk1')}\n`, `local ${conf().disk('disk1')}.new\n`),
    );
    expect((await lab.hastate('hasta', 'create', 'disk1')).code).toBe(0);
    expect(await reload(daemon)).toMatchObject({ applied: ['resource disk1: local'], problems: [] });
    const status = await daemon.status();
    expect(resourceOf(status, 'disk1')).toMatchObject({
      role: 'secondary',
      localpath: `${conf().disk('disk1')}.new`,
      error: null,
    });
    // disk2 has no such disk: said, and the rest goes on.
    await lab.edit(lab.hastConf, (text) =>
      text.replace(`local ${conf().disk('disk2')}\n`, `local ${conf().disk('disk2')}.missing\n`),
    );
    const { problems } = await reload(daemon);
    expect(problems.join('\n')).toContain(
      `disk2: disk2 did not become init: ${conf().disk('disk2')}.missing`,
    );
    expect((await daemon.status()).warnings.join('\n')).toContain('reload: disk2');
    expect(resourceOf(await daemon.status(), 'disk1').error).toBeNull();
    // Once it is there it is taken up, although the files are as before.
    await makeDisk(`${conf().disk('disk2')}.missing`, 8);
    expect((await lab.hastate('hasta', 'create', 'disk2')).code).toBe(0);
    expect(await reload(daemon)).toMatchObject({ applied: [], problems: [] });
    const mended = await daemon.status();
    expect(resourceOf(mended, 'disk2')).toMatchObject({ role: 'init', error: null });
    expect(mended.warnings.filter((warning) => warning.startsWith('reload'))).toEqual([]);
  });

  it('takes up what it can of hastate.yaml, and names what needs a restart', async () => {
    const more = ['policy: manual'];
    await startAlone({ groups: [{ name: 'storage', resources: ['disk1'], hooks: ['10-service'], more }] });
    const calls = join(lab.directory, 'calls');
    await lab.writeHook('10-service', `echo "$1 $HASTATE_PARAM_WHAT" >> ${calls}`);
    await daemon.promoteAlone('storage');
    const what = (before: string, after: string) =>
      lab.edit(lab.hastateYaml, (text) => text.replace(`10-service: ${before}`, `10-service: ${after}`));
    await what('{}', '{ what: second }');
    await lab.edit(lab.hastateYaml, (text) =>
      text
        .replace(
          'groups:',
          'log: { level: debug }\ntiming: { heartbeat: 90ms }\nreferences: [127.0.0.1]\ngroups:',
        )
        .replace('device: none', 'device: auto'),
    );
    expect(await reload(daemon)).toEqual({
      accepted: true,
      applied: ['references', 'log', 'groups.storage.hooks'],
      needsRestart: ['timing', 'groups.storage.device'],
      problems: [],
    });
    expect((await daemon.status()).warnings).toEqual([
      'needs a restart: timing',
      'needs a restart: groups.storage.device',
    ]);
    expect(await daemon.logged('warn: needs a restart: timing')).toHaveLength(1);
    const earlier = (await daemon.logged(' debug: ')).length;
    expect(groupOf(await daemon.status(), 'storage').state).toBe('primary.serving');
    // What went up goes down as it went up; the next time it is the new one.
    await daemon.request('role', { role: 'secondary', resources: ['disk1'] }, 20_000);
    expect((await daemon.logged(' debug: resource.disk1')).length).toBeGreaterThan(earlier);
    await daemon.promoteAlone('storage');
    await daemon.stop();
    expect(await readFile(calls, 'utf8')).toBe('start \nstop \nstart second\nstop second\n');
  });

  it('moves its control socket and its data link where hast.conf says', async () => {
    await startAlone();
    const port = await freeTcpPort(conf().host);
    const control = `${conf().control}2`;
    await lab.edit(lab.hastConf, (text) =>
      text
        .replace(`control ${conf().control}\n`, `control ${control}\n`)
        .replace(`listen tcp4://${conf().host}:${conf().dataPort}`, `listen tcp4://${conf().host}:${port}`),
    );
    expect((await reload(daemon)).applied).toEqual(['listen', 'control']);
    expect((await lab.hastate('hasta', 'status')).code).toBe(0);
    await eventually('the old socket goes', () => !existsSync(conf().control));
    // The old port is free for somebody else, and an address that is not ours changes nothing.
    await lab.edit(lab.hastConf, (text) =>
      text.replace(`listen tcp4://${conf().host}:${port}`, 'listen tcp4://192.0.2.77'),
    );
    expect((await lab.hastate('hasta', 'status')).code).toBe(0);
    daemon.signal('SIGHUP');
    await eventually(
      'the failure',
      async () =>
        (await daemon.logged('reload: listen: cannot listen for the data link on tcp4://192.0.2.77')).length >
        0,
    );
    expect(await daemon.logged('error: reload')).toHaveLength(1);
  });

  it('takes a SIGHUP during its start for what it is, and many at once for one', async () => {
    lab = await Lab.make();
    daemon = lab.daemon('hasta').start();
    await daemon.until('answering', () => true);
    for (let i = 0; i < 20; i++) daemon.signal('SIGHUP');
    await daemon.untilRunning();
    for (let i = 0; i < 20; i++) daemon.signal('SIGHUP');
    expect((await reload(daemon)).accepted).toBe(true);
    expect((await daemon.logged('reading the configuration again')).length).toBeLessThan(10);
  });
});
