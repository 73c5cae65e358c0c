import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { discoverHooks } from '../../../src/hooks/discover.ts';
import { eventually, isAlive, script } from './hook-dir.ts';
import { shippedHooks } from './shipped.ts';

/** A process to be found as holder; ends with the test. */
async function withHolder<Result>(use: (pid: number) => Promise<Result>): Promise<Result> {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  try {
    return await use(child.pid ?? 0);
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

describe('the shipped hooks', () => {
  it('are all found and trusted', async () => {
    const { dir } = await shippedHooks();
    const found = await discoverHooks(join(dir, 'hooks'));
    expect(found.refused).toEqual([]);
    expect(found.hooks.map((hook) => hook.name)).toEqual([
      '10-zfs',
      '20-ext4',
      '20-ufs',
      '20-xfs',
      '50-service',
      '60-iscsi-ctld',
      '60-iscsi-tgt',
      '60-nfs',
      '60-postgresql',
      '60-samba',
      '90-carp-hast-switch',
    ]);
    expect(found.notify.map((hook) => hook.name)).toEqual(['10-mail', '20-webhook']);
    // Whoever may be asked again and again says so, and what a start would do can be asked of all.
    for (const { header, name } of found.hooks)
      expect([name, header.declared, header.verbs.includes('rehearse')]).toEqual([name, true, true]);
  });
});

describe('the UFS hook, with the recorded behaviour of FreeBSD', () => {
  const devices = { disk1: '/dev/null' };

  async function ufs(codes: string) {
    const hooks = await shippedHooks({ fakes: 'freebsd' });
    const mountpoint = join(hooks.dir, 'data');
    await mkdir(mountpoint);
    await hooks.state('fsck_ffs.codes', codes);
    return { hooks, mountpoint };
  }

  it('checks, mounts, says so, flushes and unmounts', async () => {
    const { hooks, mountpoint } = await ufs('0\n');
    const params = { mountpoint, options: 'rw,noatime' };
    for (const [verb, exitCode] of [
      ['status', 3],
      ['start', 0],
      ['status', 0],
      ['stop', 0],
      ['status', 3],
    ] as const)
      expect(await hooks.run('20-ufs', verb, params, { devices })).toMatchObject({ exitCode });
    expect(await hooks.calls()).toEqual([
      'fsck_ffs -p /dev/null',
      `mount -t ufs -o rw,noatime /dev/null ${mountpoint}`,
      'sync',
      `umount ${mountpoint}`,
    ]);
  });

  it.each([
    ['8\n', {}, 'needs help (fsck_ffs exited with 8)', 1],
    ['3\n', { fsck: 'yes' }, 'cannot be opened', 1],
    ['8\n0\n3\n', { fsck: 'yes' }, 'cannot be opened', 3],
    ['8\n0\n8\n', { fsck: 'yes' }, 'needs help', 3],
  ])('does not mount when fsck_ffs exits with %j and parameters are %j', async (codes, more, text, runs) => {
    const { hooks, mountpoint } = await ufs(codes);
    const outcome = await hooks.run('20-ufs', 'start', { mountpoint, ...more }, { devices });
    expect(outcome.failure).toContain(text);
    const calls = await hooks.calls();
    expect(calls).toHaveLength(runs);
    expect(calls.filter((call) => call.startsWith('mount'))).toEqual([]);
  });

  it('mounts after fsck -y only because a second look found it clean', async () => {
    const { hooks, mountpoint } = await ufs('8\n0\n0\n');
    const outcome = await hooks.run('20-ufs', 'start', { mountpoint, fsck: 'yes' }, { devices });
    expect(outcome).toMatchObject({ failure: null });
    expect((await hooks.calls()).slice(0, 3)).toEqual([
      'fsck_ffs -p /dev/null',
      'fsck_ffs -fy /dev/null',
      'fsck_ffs -p /dev/null',
    ]);
  });

  it('unmounts again when the probe cannot be made durable', async () => {
    const { hooks, mountpoint } = await ufs('0\n');
    await hooks.state('fsync.code', '1');
    const outcome = await hooks.run('20-ufs', 'start', { mountpoint, probe: 'yes' }, { devices });
    expect(outcome.failure).toContain('does not take writes');
    expect((await hooks.calls()).at(-1)).toBe(`umount ${mountpoint}`);
  });

  it('names the holder, and ends it when it may', async () => {
    const { hooks, mountpoint } = await ufs('0\n');
    await hooks.run('20-ufs', 'start', { mountpoint }, { devices });
    await withHolder(async (pid) => {
      await hooks.state('holder', String(pid));
      const refused = await hooks.run('20-ufs', 'stop', { mountpoint }, { devices });
      expect(refused.exitCode).toBe(1);
      expect(refused.output).toContain(`pid ${pid}: sleep 1000`);
      const stopped = await hooks.run('20-ufs', 'stop', { mountpoint, 'kill-holders': 'yes' }, { devices });
      expect(stopped).toMatchObject({ failure: null });
      await eventually(() => Promise.resolve(isAlive(pid) ? null : true));
    });
  });
});

describe('the ZFS hook, with the recorded behaviour of zpool', () => {
  const params = { pool: 'tank' };
  const devices = { disk1: '/dev/hast/disk1', disk2: '/dev/hast/disk2' };

  it('imports from where the devices are, past the cache file, and exports', async () => {
    const hooks = await shippedHooks({ fakes: 'zfs' });
    for (const [verb, exitCode] of [
      ['status', 3],
      ['start', 0],
      ['start', 0],
      ['status', 0],
      ['stop', 0],
      ['stop', 0],
      ['status', 3],
    ] as const)
      expect(await hooks.run('10-zfs', verb, params, { devices })).toMatchObject({ exitCode });
    const calls = (await hooks.calls()).filter((call) => !call.startsWith('zpool list'));
    expect(calls).toEqual([
      'zpool import -o cachefile=none -d /dev/hast tank',
      'zpool set cachefile=none tank',
      'zpool export tank',
    ]);
  });

  it.each(['FAULTED', 'UNAVAIL'])(
    'imports a pool anew that a cache file brought up %s at boot, before its disks were here',
    async (health) => {
      const hooks = await shippedHooks({ fakes: 'zfs' });
      await hooks.state('imported');
      await hooks.state('health', `${health}\n`);
      const started = await hooks.run('10-zfs', 'start', params, { devices });
      expect(started).toMatchObject({ failure: null });
      expect(started.output).toContain('pool tank is ONLINE');
      const calls = (await hooks.calls()).filter((call) => !call.startsWith('zpool list'));
      expect(calls).toEqual(['zpool export tank', 'zpool import -o cachefile=none -d /dev/hast tank']);
    },
  );

  it('imports by guid under the name of the pool, from the directory that is given', async () => {
    const hooks = await shippedHooks({ fakes: 'zfs' });
    await hooks.run('10-zfs', 'start', { ...params, guid: '123', dir: '/my disks' }, { devices });
    expect(await hooks.calls()).toContain('zpool import -o cachefile=none -d /my disks 123 tank');
  });

  it('does not take a pool from another host unless it is forced to', async () => {
    const hooks = await shippedHooks({ fakes: 'zfs' });
    await hooks.state('foreign');
    const refused = await hooks.run('10-zfs', 'start', params, { devices });
    expect(refused.exitCode).toBe(1);
    expect((await hooks.calls()).some((call) => call.includes(' -f'))).toBe(false);
    const forced = await hooks.run('10-zfs', 'start', params, { devices, forced: true });
    expect(forced).toMatchObject({ failure: null });
  });

  it.each([
    ['b', 'its peer gave it up', 0],
    ['gate', 'a third host', 1],
    ['a', 'this node before a crash', 0],
  ])('asked for a pool that %s used last (%s), exits with %i', async (host, _, exitCode) => {
    const hooks = await shippedHooks({ fakes: 'zfs' });
    await hooks.state('foreign', host);
    const outcome = await hooks.run('10-zfs', 'start', params, { devices });
    expect(outcome.exitCode).toBe(exitCode);
    const forced = (await hooks.calls()).filter((call) => call.startsWith('zpool import -f'));
    expect(forced).toHaveLength(exitCode === 0 ? 1 : 0);
    if (exitCode !== 0) expect(outcome.failure).toContain('add it to the parameter hosts');
    const named = await hooks.run('10-zfs', 'start', { ...params, hosts: `x ${host}` }, { devices });
    expect(named.exitCode).toBe(0);
  });

  it.each([
    ['DEGRADED', 0],
    ['SUSPENDED', 1],
    ['UNAVAIL', 1],
  ])('calls a pool that is %s exit %i', async (health, exitCode) => {
    const hooks = await shippedHooks({ fakes: 'zfs' });
    await hooks.state('health', `${health}\n`);
    expect(await hooks.run('10-zfs', 'start', params, { devices })).toMatchObject({ exitCode });
    expect(await hooks.run('10-zfs', 'status', params, { devices })).toMatchObject({ exitCode });
  });

  it.each(['start', 'stop', 'status'] as const)(
    'fails at %s when zpool cannot tell what is imported',
    async (verb) => {
      const hooks = await shippedHooks({ fakes: 'zfs' });
      await hooks.state('unloaded');
      expect(await hooks.run('10-zfs', verb, params, { devices })).toMatchObject({ exitCode: 1 });
    },
  );

  it('names who holds a busy pool, and ends them when it may', async () => {
    const hooks = await shippedHooks({ fakes: 'zfs' });
    const place = join(hooks.dir, 'fake/fs');
    await mkdir(place);
    await hooks.run('10-zfs', 'start', params, { devices });
    await hooks.state('busy');
    const child = spawn('sleep', ['1000'], { cwd: place, stdio: 'ignore' });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    try {
      await hooks.state('holder', String(child.pid));
      const refused = await hooks.run('10-zfs', 'stop', params, { devices });
      expect(refused.exitCode).toBe(1);
      expect(refused.output).toContain(`pid ${child.pid ?? 0}: sleep 1000`);
      const stopped = await hooks.run('10-zfs', 'stop', { ...params, 'kill-holders': 'yes' }, { devices });
      expect(stopped).toMatchObject({ failure: null });
      await exited;
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  });
});

describe('the hook for old carp-hast-switch scripts', () => {
  it.each([
    [{}, 'primary', 'secondary'],
    [{ words: 'master,slave' }, 'master', 'slave'],
    [{ resource: 'disk1' }, 'primary disk1', 'secondary disk1'],
  ])('calls the script with the words it knows, given %j', async (more, up, down) => {
    const hooks = await shippedHooks();
    const old = await script(join(hooks.dir, 'carp-hast-switch'), 'echo "$*"');
    const params = { script: old, ...more };
    expect((await hooks.run('90-carp-hast-switch', 'start', params)).output).toBe(`${up}\n`);
    expect((await hooks.run('90-carp-hast-switch', 'stop', params)).output).toBe(`${down}\n`);
  });

  it('hands the exit code of the script on', async () => {
    const hooks = await shippedHooks();
    const old = await script(join(hooks.dir, 'carp-hast-switch'), 'exit 4');
    expect((await hooks.run('90-carp-hast-switch', 'start', { script: old })).exitCode).toBe(4);
  });

  it.each([
    ['everybody may write', 0o777, 'chmod go-w'],
    ['is not executable', 0o644, 'chmod 755'],
  ])('refuses a script that %s', async (_, mode, text) => {
    const hooks = await shippedHooks();
    const old = await script(join(hooks.dir, 'carp-hast-switch'), 'echo ran', mode);
    const outcome = await hooks.run('90-carp-hast-switch', 'start', { script: old });
    expect(outcome.failure).toContain(text);
    expect(outcome.output).not.toContain('ran\n');
  });

  it('refuses words that no old script knows', async () => {
    const hooks = await shippedHooks();
    const outcome = await hooks.run('90-carp-hast-switch', 'start', { script: '/bin/true', words: 'on,off' });
    expect(outcome.failure).toContain("parameter words is 'on,off'");
  });
});
