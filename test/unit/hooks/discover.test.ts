import { chmod, chown, lchown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { discoverHooks } from '../../../src/hooks/discover.ts';
import { needs } from '../../support/needs.ts';
import { script, temporaryDir } from './hook-dir.ts';

describe('discoverHooks', () => {
  it('lists hooks ascending and ignores names that run-parts would ignore', async () => {
    const dir = await temporaryDir();
    for (const name of ['50-nfs', '10-zfs', '20-ext4.dpkg-old', '20-ext4~', 'README', '5-short', '30-a.sh'])
      await script(join(dir, name), 'exit 0');
    const found = await discoverHooks(dir);
    expect(found.hooks.map(({ name, order }) => [name, order])).toEqual([
      ['10-zfs', 10],
      ['50-nfs', 50],
    ]);
    expect(found.refused).toEqual([]);
  });

  it('finds the hooks of notify.d and fence.d', async () => {
    const dir = await temporaryDir();
    await script(join(dir, 'notify.d/10-mail'), 'exit 0');
    await script(join(dir, 'fence.d/10-ipmi'), 'exit 0');
    const found = await discoverHooks(dir);
    expect([found.notify[0]?.name, found.fence[0]?.name]).toEqual(['10-mail', '10-ipmi']);
  });

  it('takes a directory that is not there for one without hooks', async () => {
    expect(await discoverHooks('/nonexistent/hooks')).toMatchObject({ hooks: [], refused: [] });
  });

  it('says that it cannot read what is no directory', async () => {
    const dir = await temporaryDir();
    await writeFile(join(dir, 'file'), '');
    await expect(discoverHooks(join(dir, 'file'))).rejects.toMatchObject({ code: 'hook-dir' });
  });

  it('reads the limits of the header and keeps defaults for the rest', async () => {
    const dir = await temporaryDir();
    await script(
      join(dir, '10-a'),
      '# about\n# hastate: timeout=120s retries=4 verbs=start,stop,rehearse\nexit 0',
    );
    await script(join(dir, '20-b'), 'exit 0');
    const [a, b] = (await discoverHooks(dir)).hooks;
    expect(a?.header).toMatchObject({ timeoutMs: 120_000, retries: 4, verbs: ['start', 'stop', 'rehearse'] });
    expect(b?.header).toMatchObject({ timeoutMs: 60_000, verbs: ['start', 'stop', 'status'] });
  });

  it.each(['timeout=soon', 'timeout=0s', 'timeout=25h', 'retries=-1', 'verbs=begin', 'colour=red', 'loud'])(
    'refuses a hook whose header says %s instead of running it with other limits',
    async (word) => {
      const dir = await temporaryDir();
      await script(join(dir, '10-a'), `# hastate: ${word}`);
      const found = await discoverHooks(dir);
      expect(found.hooks).toEqual([]);
      expect(found.refused[0]?.reason).toContain(`'${word}'`);
    },
  );

  it('ignores a header after the first 20 lines', async () => {
    const dir = await temporaryDir();
    await script(join(dir, '10-a'), `${'\n'.repeat(25)}# hastate: timeout=nonsense`);
    expect((await discoverHooks(dir)).refused).toEqual([]);
  });

  it('refuses a hook that is not executable and says how to make it so', async () => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '10-a'), 'exit 0', 0o644);
    expect((await discoverHooks(dir)).refused).toEqual([
      { path, reason: `${path} is not executable; run: chmod 755 ${path}` },
    ]);
  });

  it('refuses what is no regular file', async () => {
    const dir = await temporaryDir();
    await mkdir(join(dir, '10-a'));
    expect((await discoverHooks(dir)).refused[0]?.reason).toContain('not a regular file');
  });

  it.each([
    ['everybody', 0o757],
    ['its group', 0o775],
  ])('refuses a hook that %s may write', async (who, mode) => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '10-a'), 'exit 0', mode);
    const [refused] = (await discoverHooks(dir)).refused;
    expect(refused?.reason).toBe(
      `${path} is writable by ${who}, who could change what runs; run: chmod go-w ${path}`,
    );
  });

  it('refuses hooks below a directory that others may write, and names the directory', async () => {
    const dir = await temporaryDir();
    const open = join(dir, 'open');
    await script(join(open, 'hooks/10-a'), 'exit 0');
    await chmod(open, 0o777);
    const [refused] = (await discoverHooks(join(open, 'hooks'))).refused;
    expect(refused?.reason).toContain(`${open} is writable by everybody`);
  });

  it('takes a sticky directory on the way, but not as the place where hooks stand', async () => {
    const dir = await temporaryDir();
    const sticky = join(dir, 'sticky');
    await script(join(sticky, 'hooks/10-a'), 'exit 0');
    await script(join(sticky, '10-b'), 'exit 0');
    await chmod(sticky, 0o1777);
    expect((await discoverHooks(join(sticky, 'hooks'))).hooks).toHaveLength(1);
    expect((await discoverHooks(sticky)).refused[0]?.reason).toContain(`${sticky} is writable by everybody`);
  });

  it('follows a link and runs what it leads to', async () => {
    const dir = await temporaryDir();
    const target = await script(join(dir, 'shipped/20-ext4'), 'exit 0');
    await mkdir(join(dir, 'hooks'));
    await symlink('../shipped/20-ext4', join(dir, 'hooks/20-ext4'));
    const found = await discoverHooks(join(dir, 'hooks'));
    expect(found.hooks[0]).toMatchObject({ path: join(dir, 'hooks/20-ext4'), realPath: target });
  });

  it('refuses a link into a place that others may write', async () => {
    const dir = await temporaryDir();
    await script(join(dir, 'open/10-a'), 'exit 0');
    await chmod(join(dir, 'open'), 0o777);
    await mkdir(join(dir, 'hooks'));
    await symlink(join(dir, 'open/10-a'), join(dir, 'hooks/10-a'));
    const [refused] = (await discoverHooks(join(dir, 'hooks'))).refused;
    expect(refused?.reason).toContain(`${join(dir, 'open')} is writable`);
  });

  it('refuses a link to itself and a link to nothing', async () => {
    const dir = await temporaryDir();
    await symlink('10-a', join(dir, '10-a'));
    await symlink('missing', join(dir, '10-b'));
    const reasons = (await discoverHooks(dir)).refused.map((each) => each.reason);
    expect(reasons[0]).toContain('leads to itself');
    expect(reasons[1]).toContain(`${join(dir, 'missing')} cannot be read`);
  });

  it('refuses every hook beside a shared file that others may write', async () => {
    const dir = await temporaryDir();
    await script(join(dir, '10-a'), 'exit 0');
    await script(join(dir, 'lib.sh'), '', 0o666);
    const [refused] = (await discoverHooks(dir)).refused;
    expect(refused).toMatchObject({ path: join(dir, '10-a') });
    expect(refused?.reason).toContain(`${join(dir, 'lib.sh')} is writable by everybody`);
  });
});

describe.skipIf(needs('root'))('discoverHooks as root', () => {
  const stranger = 12_345;

  it('refuses a hook of another user and says to whom it must belong', async () => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '10-a'), 'exit 0');
    await chown(path, stranger, stranger);
    const [refused] = (await discoverHooks(dir)).refused;
    expect(refused?.reason).toBe(
      `${path} belongs to user ${stranger}, who could change what runs; run: chown root ${path}`,
    );
  });

  it('takes a hook of the user that the daemon runs as', async () => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '10-a'), 'exit 0');
    await chown(path, stranger, stranger);
    expect((await discoverHooks(dir, { uid: stranger })).hooks).toHaveLength(1);
  });

  it('refuses a link that another user put there, even to a program of root', async () => {
    const dir = await temporaryDir();
    const link = join(dir, '10-a');
    await symlink('/bin/sh', link);
    await lchown(link, stranger, stranger);
    const [refused] = (await discoverHooks(dir)).refused;
    expect(refused?.reason).toContain(`run: chown -h root ${link}`);
  });
});
