import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { HoldStore } from '../../../src/daemon/holds.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hastate-holds-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function reopened(): Promise<HoldStore> {
  const store = new HoldStore(dir);
  await store.load();
  return store;
}

it('a node that never was on hold holds nothing', async () => {
  expect((await reopened()).of('storage')).toBeNull();
});

it('what an operator holds is held after a restart as well, until it is ended', async () => {
  const store = await reopened();
  await store.setStandby('new memory');
  await store.setMaintenance('storage', 'a new kernel');
  const later = await reopened();
  expect(later.of('storage')?.text).toMatch(/^it is in maintenance since \d{4}-.*: a new kernel$/);
  expect(later.of('other')?.text).toMatch(/^this node is on standby since .*: new memory$/);
  await later.setMaintenance('storage', null);
  expect((await reopened()).of('storage')?.code).toBe('standby');
  await later.setStandby(null);
  expect((await reopened()).all).toEqual({ standby: null, maintenance: {} });
});

it('two holds that are given at once both hold', async () => {
  const store = await reopened();
  await Promise.all([
    store.setMaintenance('a', 'x'),
    store.setMaintenance('b', 'x'),
    store.setStandby('x'),
    store.setMaintenance('a', null),
  ]);
  const { all } = await reopened();
  expect([Object.keys(all.maintenance), all.standby?.reason]).toEqual([['b'], 'x']);
});

it('a file that is torn keeps the daemon from deciding what was forbidden, and says where it is', async () => {
  await writeFile(join(dir, 'holds.json'), '{"standby": {"since"');
  await expect(reopened()).rejects.toMatchObject({
    code: 'holds-unreadable',
    message: expect.stringContaining(join(dir, 'holds.json')) as string,
  });
  await writeFile(join(dir, 'holds.json'), '{"standby": {"since": 3}}');
  await expect(reopened()).rejects.toThrow("'standby' has no 'since' and 'reason'");
});

it('a hold that cannot be kept is refused and does not count', async () => {
  const store = await reopened();
  await mkdir(join(dir, 'holds.json.new'));
  await expect(store.setStandby('x')).rejects.toMatchObject({ code: 'holds-not-kept' });
  expect(store.of('storage')).toBeNull();
  expect(await readdir(dir)).not.toContain('holds.json');
});
