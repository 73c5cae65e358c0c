/** The hooks of services whose real ones cannot run here: stand-ins for their commands say what they were called with. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import type { HookVerb } from '../../../src/model/hook.ts';
import { needs } from '../../support/needs.ts';
import { script } from './hook-dir.ts';
import { type Shipped, shippedHooks } from './shipped.ts';

type Verb = HookVerb | 'rehearse';

/** Runs verbs one after the other; each must exit as written. */
async function story(
  hooks: Shipped,
  hook: string,
  params: Record<string, string>,
  verbs: readonly (readonly [Verb, number])[],
): Promise<void> {
  for (const [verb, exitCode] of verbs) {
    const outcome = await hooks.run(hook, verb, params);
    expect([verb, outcome.exitCode, outcome.output]).toEqual([verb, exitCode, outcome.output]);
  }
}

/** Down, up, up again, well, down, down again, down. */
const LIFE = [
  ...([
    ['status', 3],
    ['start', 0],
    ['start', 0],
    ['status', 0],
  ] as const),
  ...([
    ['stop', 0],
    ['stop', 0],
    ['status', 3],
  ] as const),
] as const;

describe('the generic service hook', () => {
  const changes = (calls: readonly string[]) =>
    calls.filter((call) => /start|stop/.test(call) && !/status/.test(call));

  it('uses systemd where it runs', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    await story(hooks, '50-service', { service: 'nginx', init: 'systemd' }, LIFE);
    const started = changes(await hooks.calls());
    expect(started).toEqual([
      'systemctl start -- nginx',
      'systemctl stop -- nginx',
      'systemctl stop -- nginx',
    ]);
  });

  it('uses rc.d on FreeBSD, enabled in rc.conf or not', async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    await story(hooks, '50-service', { service: 'nginx' }, LIFE);
    expect(changes(await hooks.calls())).toEqual([
      ...['service nginx onestart', 'service nginx onestop', 'service nginx onestop'],
    ]);
  });

  it.each([
    ['failed', 1],
    ['activating', 1],
    ['inactive', 3],
  ])('calls a unit that is %s exit %i', async (state, exitCode) => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    await hooks.state('unit.nginx.state', state);
    const params = { service: 'nginx', init: 'systemd' };
    expect(await hooks.run('50-service', 'status', params)).toMatchObject({ exitCode });
  });

  it('stops a unit that crashed, so that it can be started again', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    await hooks.state('unit.nginx.state', 'failed\n');
    await story(hooks, '50-service', { service: 'nginx', init: 'systemd', wait: '1' }, [
      ['status', 1],
      ['stop', 0],
      ['status', 3],
      ['start', 0],
      ['status', 0],
    ]);
  });

  it.skipIf(needs('root', 'netns'))('has not stopped a unit whose processes outlived SIGKILL', async () => {
    const group = '/sys/fs/cgroup/system.slice/nginx.service/worker';
    const hooks = await shippedHooks({
      fakes: 'linux',
      enter: [
        ...['unshare', '--mount', 'sh', '-c'],
        `'mount -t tmpfs none /sys/fs/cgroup && mkdir -p ${group} && echo 4242 >${group}/cgroup.procs && exec "$0" "$@"'`,
      ],
    });
    await hooks.state('unit.nginx.state', 'failed\n');
    const params = { service: 'nginx', init: 'systemd', wait: '1' };
    const outcome = await hooks.run('50-service', 'stop', params);
    expect(outcome.failure).toContain('it could not be stopped');
    expect(outcome.output).toContain('its processes are there: 4242');
    expect(await hooks.run('50-service', 'status', params)).toMatchObject({ exitCode: 1 });
  });

  it('stops an rc.d service that is dead and tells it by the exit code of its status', async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    await hooks.state('rc.postgresql.code');
    await story(hooks, '50-service', { service: 'postgresql', wait: '1' }, [['stop', 0]]);
  });

  it.each([['stuck'], ['mute']])(
    'has not stopped an rc.d service that refuses to stop: %s',
    async (state) => {
      const hooks = await shippedHooks({ fakes: 'freebsd' });
      if (state === 'stuck') await hooks.state('rc.nginx');
      await hooks.state(`rc.nginx.${state}`);
      const outcome = await hooks.run('50-service', 'stop', { service: 'nginx', wait: '1' });
      expect(outcome.failure).toContain('it could not be stopped');
    },
  );

  it('says that a unit cannot be started, with what systemd says', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    await hooks.state('unit.nginx.broken');
    const outcome = await hooks.run('50-service', 'start', { service: 'nginx', init: 'systemd' });
    expect(outcome.failure).toContain('it could not be started');
    expect(outcome.output).toContain('Job for nginx.service failed');
  });

  it('runs plain commands where there is no service', async () => {
    const hooks = await shippedHooks();
    const up = join(hooks.dir, 'up');
    const params = {
      'start-command': `touch ${up}`,
      'stop-command': `rm -f ${up}`,
      'status-command': `[ -e ${up} ] || exit 3`,
      wait: '5',
    };
    await story(hooks, '50-service', params, LIFE);
  });

  it.each<[Record<string, string>, string]>([
    [{}, 'give this hook the parameter service'],
    [{ service: '--version', init: 'systemd' }, 'is no name of a service'],
    [{ service: 'a; reboot', init: 'systemd' }, 'is no name of a service'],
    [{ 'start-command': 'true', 'stop-command': 'true', port: '1x' }, 'write a number'],
  ])('refuses the parameters %j', async (params, text) => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    expect((await hooks.run('50-service', 'start', params)).output).toContain(text);
  });

  it('objects in a rehearsal to a service that the system starts at boot, or does not know', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    await hooks.state('unit.nginx.enabled', 'enabled');
    const rehearse = (service: string) => hooks.run('50-service', 'rehearse', { service, init: 'systemd' });
    expect((await rehearse('nginx')).failure).toContain('systemctl disable nginx');
    expect((await rehearse('unknown')).failure).toContain('knows no unit unknown');
    expect((await rehearse('other')).output).toBe('would run: systemctl start other\n');
  });
});

describe('the NFS hook', () => {
  it('exports with one fsid on both nodes and takes the export away (Linux)', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    const params = {
      directory: hooks.dir,
      clients: '10.0.0.0/24(rw,sync) backup(ro)',
      fsid: '7',
      init: 'systemd',
    };
    await story(hooks, '60-nfs', params, [
      ['status', 3],
      ['start', 0],
      ['status', 0],
      ['stop', 0],
      ['status', 3],
    ]);
    const calls = await hooks.calls();
    expect(calls).toContain(`exportfs -o rw,sync,fsid=7 10.0.0.0/24:${hooks.dir}`);
    expect(calls).toContain(`exportfs -o ro,fsid=7 backup:${hooks.dir}`);
    expect(calls).toContain(`exportfs -u backup:${hooks.dir}`);
  });

  it('writes a file for mountd and empties it (FreeBSD)', async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    const exports = join(hooks.dir, 'etc/exports.hastate');
    const params = { directory: hooks.dir, clients: '-network 10.0.0.0/24', exports };
    await story(hooks, '60-nfs', params, [
      ['status', 3],
      ['start', 0],
      ['status', 0],
    ]);
    expect(await readFile(exports, 'utf8')).toBe(`${hooks.dir} -network 10.0.0.0/24\n`);
    await story(hooks, '60-nfs', params, [
      ['stop', 0],
      ['status', 3],
    ]);
    expect(await readFile(exports, 'utf8')).toBe('');
    expect((await hooks.calls()).filter((call) => call === 'service mountd onereload')).toHaveLength(2);
  });

  it('does not take an exportfs that fails for "not exported"', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    const params = { directory: hooks.dir, init: 'systemd' };
    await hooks.run('60-nfs', 'start', params);
    await hooks.state('exportfs.broken');
    await story(hooks, '60-nfs', params, [
      ['status', 1],
      ['stop', 1],
    ]);
    expect((await hooks.run('60-nfs', 'stop', params)).failure).toContain('cannot tell what is exported');
  });

  it('has not stopped while mountd did not read its empty file, however often it is asked (FreeBSD)', async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    const params = { directory: hooks.dir, exports: join(hooks.dir, 'etc/exports.hastate') };
    await hooks.run('60-nfs', 'start', params);
    await hooks.state('rc.mountd.stuck');
    await story(hooks, '60-nfs', params, [
      ['stop', 1],
      ['stop', 1],
    ]);
    expect((await hooks.run('60-nfs', 'stop', params)).failure).toContain('may still be exported');
    await rm(join(hooks.dir, 'fake/rc.mountd.stuck'));
    await story(hooks, '60-nfs', params, [['stop', 0]]);
  });

  it.each([
    ['does not run', [], 0],
    ['cannot be asked', ['rc.mountd.mute'], 1],
  ] as const)('when mountd %s, stop with the states %j exits with %i', async (_, states, exitCode) => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    for (const name of states) await hooks.state(name);
    const params = { directory: hooks.dir, exports: join(hooks.dir, 'etc/exports.hastate') };
    await story(hooks, '60-nfs', params, [['stop', exitCode]]);
  });

  it.each<[Record<string, string>, string]>([
    [{}, 'parameter directory is missing'],
    [{ directory: 'data' }, 'absolute path'],
    [{ directory: '/nonexistent/x' }, 'mount it by a hook with a lower number'],
    [{ directory: '/tmp', server: 'maybe' }, 'must be yes or no'],
  ])('refuses the parameters %j', async (params, text) => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    expect((await hooks.run('60-nfs', 'start', params)).output).toContain(text);
  });
});

describe('the Samba hook', () => {
  it('runs smbd with a configuration of its own, and ends it', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    const config = join(hooks.dir, 'smb.conf');
    await writeFile(config, '[global]\n');
    await story(hooks, '60-samba', { config, wait: '5' }, LIFE);
    expect((await hooks.calls()).filter((call) => call.startsWith('smbd -D'))).toEqual([
      `smbd -D -s ${config} --option=pid directory=${hooks.dir}/samba-storage`,
    ]);
  });

  it("runs the system's service without one", async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    await story(hooks, '60-samba', { wait: '5' }, LIFE);
    expect(await hooks.calls()).toContain('service samba_server onestart');
  });

  it('does not start on a configuration that testparm refuses', async () => {
    const hooks = await shippedHooks({ fakes: 'linux' });
    const config = join(hooks.dir, 'smb.conf');
    await writeFile(config, 'nonsense\n');
    expect((await hooks.run('60-samba', 'start', { config })).output).toContain('Unknown parameter');
    expect(await hooks.calls()).toEqual([]);
  });
});

describe('the ctld hook', () => {
  it('gives ctld the targets and takes them away, readable by root alone', async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    const config = join(hooks.dir, 'mine.conf');
    const target = 'iqn.2024-01.org.example:disk1';
    await writeFile(config, `target ${target} { }\n`);
    const place = join(hooks.dir, 'fake/ctl.conf');
    const params = { config, target, place };
    await story(hooks, '60-iscsi-ctld', params, [
      ['status', 3],
      ['rehearse', 0],
      ['start', 0],
      ['status', 0],
    ]);
    expect((await stat(place)).mode & 0o777).toBe(0o600);
    await story(hooks, '60-iscsi-ctld', params, [
      ['stop', 0],
      ['status', 3],
      ['stop', 0],
    ]);
    expect(await readFile(place, 'utf8')).toBe('');
  });

  it('says that it has no configuration', async () => {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    const params = { config: '/nonexistent', target: 'x' };
    expect((await hooks.run('60-iscsi-ctld', 'start', params)).failure).toContain('cannot be read');
  });
});

describe('a rehearsal of the hooks that mount', () => {
  it('says what would be done, and what is missing, without a device', async () => {
    const hooks = await shippedHooks();
    const mountpoint = join(hooks.dir, 'data');
    const missing = await hooks.run('20-ext4', 'rehearse', { mountpoint });
    expect(missing.failure).toContain('create-mountpoint: yes');
    await mkdir(mountpoint);
    const outcome = await hooks.run('20-ext4', 'rehearse', { mountpoint });
    expect(outcome.output).toBe(`would mount the device on ${mountpoint} (ext4, rw)\n`);
  });

  it('lets an old switch script alone', async () => {
    const hooks = await shippedHooks();
    const old = await script(join(hooks.dir, 'old'), `touch ${hooks.dir}/ran`);
    const outcome = await hooks.run('90-carp-hast-switch', 'rehearse', { script: old });
    expect(outcome.output).toContain('would call');
    await expect(stat(join(hooks.dir, 'ran'))).rejects.toThrow();
  });
});
