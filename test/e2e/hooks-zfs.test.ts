/** The ZFS hook with real pools: raidz1 over three files that two nodes share, each node with a ZFS of its own. */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { needs } from '../support/needs.ts';
import { ZfsNode } from '../support/zfs-node.ts';
import { type Shipped, shippedHooks } from '../unit/hooks/shipped.ts';

const DISK_BYTES = 64 * 1024 * 1024;

describe.skipIf(needs('root', 'zfs-fuse', 'zpool', 'nsenter', 'unshare'))('the ZFS hook', () => {
  let one: ZfsNode;
  let two: ZfsNode;
  let dir = '';
  let hooks: Readonly<Record<'one' | 'two', Shipped>>;
  let devices: Record<string, string>;

  const hooksOf = (node: ZfsNode, peer: string) => shippedHooks({ node: node.name, peer, enter: node.enter });

  // New ones for each test: a pool that could not be destroyed goes with its daemon.
  beforeEach(async () => {
    [one, two] = await Promise.all([ZfsNode.start('one', 1), ZfsNode.start('two', 2)]);
    dir = await mkdtemp(join(tmpdir(), 'hastate-pool-'));
    const disks = ['disk1', 'disk2', 'disk3'].map((name) => [name, join(dir, name)] as const);
    for (const [, path] of disks) {
      const file = await open(path, 'w');
      await file.truncate(DISK_BYTES);
      await file.close();
    }
    devices = Object.fromEntries(disks);
    await mkdir(join(dir, 'data'));
    const made = await one.run(
      ...['zpool', 'create', '-m', join(dir, 'data'), 'tank', 'raidz1', ...Object.values(devices)],
    );
    expect([made.exitCode, made.all]).toEqual([0, '']);
    hooks = { one: await hooksOf(one, 'two'), two: await hooksOf(two, 'one') };
  });
  afterEach(async () => {
    for (const node of [one, two]) await node.crash();
    await rm(dir, { recursive: true });
  });

  const params = { pool: 'tank' };
  const write = (node: ZfsNode, text: string) =>
    node.run('/bin/sh', '-c', `printf %s ${text} | dd of=${dir}/data/file conv=fsync`);
  const read = async (node: ZfsNode) => (await node.run('cat', `${dir}/data/file`)).stdout;

  it('moves a pool and its files from one node to the other and back, without force', async () => {
    await write(one, 'first');
    expect(await hooks.one.run('10-zfs', 'status', params, { devices })).toMatchObject({ exitCode: 0 });
    expect(await hooks.one.run('10-zfs', 'stop', params, { devices })).toMatchObject({ failure: null });
    expect(await hooks.one.run('10-zfs', 'status', params, { devices })).toMatchObject({ exitCode: 3 });
    const started = await hooks.two.run('10-zfs', 'start', params, { devices });
    expect(started).toMatchObject({ failure: null });
    expect(started.output).not.toContain(' -f ');
    expect(await read(two)).toBe('first');
    await write(two, 'second');
    expect(await hooks.two.run('10-zfs', 'stop', params, { devices })).toMatchObject({ failure: null });
    expect(await hooks.one.run('10-zfs', 'start', params, { devices })).toMatchObject({ failure: null });
    expect(await read(one)).toBe('second');
  });

  it('takes the pool of a peer that crashed, and not that of a stranger', async () => {
    await write(one, 'kept');
    const guid = (await one.run('zpool', 'get', '-H', 'guid', 'tank')).stdout.split(/\s+/)[2] ?? '';
    await one.crash();
    const stranger = await shippedHooks({ node: 'two', peer: 'other', enter: two.enter });
    const refused = await stranger.run('10-zfs', 'start', params, { devices });
    expect(refused.failure).toContain('last used by one, which is neither this node nor its peer');
    expect((await two.run('zpool', 'list', '-H', '-o', 'name')).stdout).not.toContain('tank');
    const taken = await hooks.two.run('10-zfs', 'start', { ...params, guid, dir }, { devices });
    expect(taken).toMatchObject({ failure: null });
    expect(taken.output).toContain('its last host, one, gave the disks up');
    // Not before it has looked through the whole pool once in vain.
    expect(taken.output).not.toContain('cannot import');
    expect(await read(two)).toBe('kept');
    expect(await hooks.two.run('10-zfs', 'status', params, { devices })).toMatchObject({ exitCode: 0 });
  });

  it('brings a pool up that lost one of its disks, and says that it is degraded', async () => {
    await write(one, 'kept');
    await hooks.one.run('10-zfs', 'stop', params, { devices });
    await rm(join(dir, 'disk2'));
    const started = await hooks.two.run('10-zfs', 'start', params, { devices });
    expect(started).toMatchObject({ failure: null });
    expect(started.output).toContain('pool tank is DEGRADED');
    expect(await read(two)).toBe('kept');
  });

  it('names who keeps a pool busy, and ends them only when it may', async () => {
    const holder = one.run('/bin/sh', '-c', `cd ${dir}/data && echo $$ >${dir}/holder && exec sleep 1000`);
    const started = await one.run('/bin/sh', '-c', `until [ -s ${dir}/holder ]; do sleep 0.02; done`);
    expect(started.exitCode).toBe(0);
    const refused = await hooks.one.run('10-zfs', 'stop', params, { devices });
    expect(refused.exitCode).toBe(1);
    expect(refused.output).toMatch(/pid \d+: sleep 1000/);
    const stopped = await hooks.one.run('10-zfs', 'stop', { ...params, 'kill-holders': 'yes' }, { devices });
    expect(stopped).toMatchObject({ failure: null });
    await holder;
    expect(await hooks.two.run('10-zfs', 'start', params, { devices })).toMatchObject({ failure: null });
  });
});
