import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { needs } from '../support/needs.ts';
import { eventually, isAlive } from '../unit/hooks/hook-dir.ts';
import { shippedHooks } from '../unit/hooks/shipped.ts';

const undo: (() => Promise<unknown>)[] = [];
let dir = '';

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hastate-filesystem-'));
  undo.push(() => rm(dir, { recursive: true }));
});

afterEach(async () => {
  for (const action of undo.splice(0).reverse()) await action();
});

async function attach(image: string): Promise<string> {
  const { stdout: device } = await execa('losetup', ['-f', '--show', image]);
  undo.push(async () => {
    await execa('umount', ['-A', device], { reject: false });
    await execa('losetup', ['-d', device]);
  });
  return device;
}

async function image(name: string, megabytes: number, mkfs: readonly string[]): Promise<string> {
  const path = join(dir, name);
  await execa('truncate', ['-s', `${megabytes}M`, path]);
  const [command = '', ...args] = mkfs;
  await execa(command, [...args, path]);
  return path;
}

const ext4Image = (name = 'ext4') => image(name, 16, ['mkfs.ext4', '-q', '-F']);

async function mountPoint(): Promise<string> {
  const path = join(dir, 'mount point');
  await mkdir(path);
  return path;
}

/** A process that stands in `cwd`, ready once it says so. */
async function holder(cwd: string, script = 'echo ready; exec sleep 1000'): Promise<number> {
  const child = spawn('/bin/sh', ['-c', script], { cwd, stdio: ['ignore', 'pipe', 'ignore'] });
  undo.push(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once('exit', resolve));
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child.pid ?? 0;
}

const isMounted = async (path: string) =>
  (await readFile('/proc/self/mounts', 'utf8')).includes(path.replaceAll(' ', '\\040'));

describe.skipIf(needs('root', 'losetup', 'mkfs.ext4', 'e2fsck', 'debugfs'))('the ext4 hook', () => {
  it('mounts, says so, and unmounts', async () => {
    const device = await attach(await ext4Image());
    const mountpoint = await mountPoint();
    const hooks = await shippedHooks();
    const params = { mountpoint, probe: 'yes' };
    const devices = { disk1: device };
    expect(await hooks.run('20-ext4', 'status', params, { devices })).toMatchObject({ exitCode: 3 });
    expect(await hooks.run('20-ext4', 'start', params, { devices })).toMatchObject({ failure: null });
    expect(await isMounted(mountpoint)).toBe(true);
    expect(await hooks.run('20-ext4', 'status', params, { devices })).toMatchObject({ exitCode: 0 });
    expect(await hooks.run('20-ext4', 'start', params, { devices })).toMatchObject({ failure: null });
    expect(await hooks.run('20-ext4', 'stop', params, { devices })).toMatchObject({ failure: null });
    expect(await isMounted(mountpoint)).toBe(false);
    expect(await hooks.run('20-ext4', 'stop', params, { devices })).toMatchObject({ failure: null });
  });

  it('replays the journal that a crash left and finds what was synced before', async () => {
    const running = await ext4Image();
    const device = await attach(running);
    const mountpoint = await mountPoint();
    await execa('mount', [device, mountpoint]);
    await writeFile(join(mountpoint, 'kept'), 'acknowledged');
    await execa('sync', ['-f', mountpoint]);
    const crashed = join(dir, 'crashed');
    await copyFile(running, crashed);
    await execa('umount', [mountpoint]);

    const hooks = await shippedHooks();
    const outcome = await hooks.run(
      '20-ext4',
      'start',
      { mountpoint },
      { devices: { disk1: await attach(crashed) } },
    );
    expect(outcome).toMatchObject({ failure: null });
    expect(outcome.output).toContain('recovering journal');
    expect(await readFile(join(mountpoint, 'kept'), 'utf8')).toBe('acknowledged');
  });

  it('leaves a damaged file system to a person unless fsck is allowed', async () => {
    const path = await ext4Image();
    await execa('debugfs', ['-w', '-R', 'clri <2>', path]);
    // e2fsck looks no further at what says that it is clean.
    await execa('debugfs', ['-w', '-R', 'set_super_value state 2', path]);
    const devices = { disk1: await attach(path) };
    const mountpoint = await mountPoint();
    const hooks = await shippedHooks();
    const refused = await hooks.run('20-ext4', 'start', { mountpoint }, { devices });
    expect(refused.failure).toMatch(/needs help \(e2fsck exited with 4\)/);
    expect(await isMounted(mountpoint)).toBe(false);
    const repaired = await hooks.run('20-ext4', 'start', { mountpoint, fsck: 'yes' }, { devices });
    expect(repaired).toMatchObject({ failure: null });
    expect(await isMounted(mountpoint)).toBe(true);
  });

  it('fails to stop while somebody stands in it, and names the pid and the command', async () => {
    const devices = { disk1: await attach(await ext4Image()) };
    const mountpoint = await mountPoint();
    const hooks = await shippedHooks();
    await hooks.run('20-ext4', 'start', { mountpoint }, { devices });
    const pid = await holder(mountpoint);
    const outcome = await hooks.run('20-ext4', 'stop', { mountpoint }, { devices });
    expect(outcome.exitCode).toBe(1);
    expect(outcome.output).toContain(`pid ${pid}: sleep 1000`);
    expect(outcome.failure).toContain('kill-holders: yes');
    expect(isAlive(pid)).toBe(true);
    expect(await isMounted(mountpoint)).toBe(true);
  });

  it.each([
    ['that ends on TERM', 'exec sleep 1000 3< file'],
    ['that ignores TERM', 'trap "" TERM; exec 3< file; echo ready; while :; do sleep 0.1; done'],
  ])('ends a holder %s when it may, and unmounts', async (_, script) => {
    const devices = { disk1: await attach(await ext4Image()) };
    const mountpoint = await mountPoint();
    const hooks = await shippedHooks();
    const params = { mountpoint, 'kill-holders': 'yes', 'kill-wait': '1' };
    await hooks.run('20-ext4', 'start', params, { devices });
    await writeFile(join(mountpoint, 'file'), 'x');
    const pid = await holder(mountpoint, `echo ready; ${script}`);
    expect(await hooks.run('20-ext4', 'stop', params, { devices })).toMatchObject({ failure: null });
    expect(await isMounted(mountpoint)).toBe(false);
    await eventually(() => Promise.resolve(isAlive(pid) ? null : true));
  });

  it('unmounts its device wherever it is, and nothing else', async () => {
    const device = await attach(await ext4Image());
    const other = await attach(await ext4Image('other'));
    const mountpoint = await mountPoint();
    const elsewhere = join(dir, 'elsewhere');
    await mkdir(elsewhere);
    await execa('mount', [device, elsewhere]);
    await execa('mount', [other, mountpoint]);
    const hooks = await shippedHooks();
    const devices = { disk1: device };
    expect((await hooks.run('20-ext4', 'start', { mountpoint }, { devices })).failure).toContain(
      'already mounted',
    );
    expect((await hooks.run('20-ext4', 'status', { mountpoint }, { devices })).exitCode).toBe(1);
    expect(await hooks.run('20-ext4', 'stop', { mountpoint }, { devices })).toMatchObject({ failure: null });
    expect([await isMounted(elsewhere), await isMounted(mountpoint)]).toEqual([false, true]);
  });

  it('creates the mount point only when told to', async () => {
    const devices = { disk1: await attach(await ext4Image()) };
    const mountpoint = join(dir, 'new/place');
    const hooks = await shippedHooks();
    expect((await hooks.run('20-ext4', 'start', { mountpoint }, { devices })).failure).toContain(
      'does not exist',
    );
    const outcome = await hooks.run(
      '20-ext4',
      'start',
      { mountpoint, 'create-mountpoint': 'yes' },
      { devices },
    );
    expect(outcome).toMatchObject({ failure: null });
    expect((await stat(mountpoint)).isDirectory()).toBe(true);
  });

  it('says that a mounted file system no longer takes writes', async () => {
    const devices = { disk1: await attach(await ext4Image()) };
    const mountpoint = await mountPoint();
    const hooks = await shippedHooks();
    await hooks.run('20-ext4', 'start', { mountpoint }, { devices });
    await execa('mount', ['-o', 'remount,ro', mountpoint]);
    const outcome = await hooks.run('20-ext4', 'status', { mountpoint, probe: 'yes' }, { devices });
    expect(outcome.failure).toContain('does not take writes');
  });

  it('takes the device of the named resource and does not guess between two', async () => {
    const devices = { disk1: '/dev/null', 'disk-2': await attach(await ext4Image()) };
    const mountpoint = await mountPoint();
    const hooks = await shippedHooks();
    const unsaid = await hooks.run('20-ext4', 'start', { mountpoint }, { devices });
    expect(unsaid.failure).toContain('say which with parameter resource');
    const said = await hooks.run('20-ext4', 'start', { mountpoint, resource: 'disk-2' }, { devices });
    expect(said).toMatchObject({ failure: null });
  });

  it.each([
    [{}, 'parameter mountpoint is missing'],
    [{ mountpoint: '/mnt', 'kill-holders': 'maybe', 'create-mountpoint': 'perhaps' }, 'there is no device'],
  ])('refuses parameters %j with what is missing', async (params: Record<string, string>, text) => {
    const hooks = await shippedHooks();
    expect((await hooks.run('20-ext4', 'start', params)).failure).toContain(text);
  });
});

describe.skipIf(needs('root', 'losetup', 'mkfs.xfs'))('the XFS hook', () => {
  it('mounts a file system with a log to replay, says so, and unmounts', async () => {
    const running = await image('xfs', 320, ['mkfs.xfs', '-q']);
    const mountpoint = await mountPoint();
    const first = await attach(running);
    await execa('mount', [first, mountpoint]);
    await writeFile(join(mountpoint, 'kept'), 'acknowledged');
    await execa('sync', ['-f', mountpoint]);
    const crashed = join(dir, 'crashed');
    await execa('cp', ['--sparse=always', running, crashed]);
    await execa('umount', [mountpoint]);

    const hooks = await shippedHooks();
    const devices = { disk1: await attach(crashed) };
    const params = { mountpoint, probe: 'yes' };
    expect(await hooks.run('20-xfs', 'start', params, { devices })).toMatchObject({ failure: null });
    expect(await readFile(join(mountpoint, 'kept'), 'utf8')).toBe('acknowledged');
    expect(await hooks.run('20-xfs', 'status', params, { devices })).toMatchObject({ exitCode: 0 });
    expect(await hooks.run('20-xfs', 'stop', params, { devices })).toMatchObject({ failure: null });
    expect(await hooks.run('20-xfs', 'status', params, { devices })).toMatchObject({ exitCode: 3 });
  });
});
