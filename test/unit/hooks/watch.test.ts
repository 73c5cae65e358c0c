import { appendFile, chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { type HookChange, type HookWatch, MAX_TOLD, watchHooks } from '../../../src/hooks/watch.ts';
import { eventually, script, temporaryDir } from './hook-dir.ts';

const open: HookWatch[] = [];
afterEach(async () => {
  for (const watch of open.splice(0)) await watch.close();
});

async function watched(dir: string) {
  const changes: HookChange[] = [];
  const more: number[] = [];
  const errors: unknown[] = [];
  const watch = watchHooks({
    dir,
    onChange: (told, beside) => {
      changes.push(...told);
      more.push(beside);
    },
    onError: (error) => errors.push(error),
  });
  open.push(watch);
  await watch.ready;
  let taken = 0;
  /** The next change of this kind, after those that were told before. */
  const told = (name: string, what: HookChange['what'], refused: RegExp | null = null) =>
    eventually(() => {
      const index = changes.findIndex(
        (each, at) =>
          at >= taken &&
          each.name === name &&
          each.what === what &&
          (refused === null ? each.refused === null : refused.test(each.refused ?? '')),
      );
      if (index >= 0) taken = index + 1;
      return Promise.resolve(index < 0 ? null : true);
    });
  return { told, changes, more, errors, watch };
}

describe('watchHooks', () => {
  it('says nothing of what was there', async () => {
    const dir = await temporaryDir();
    await script(join(dir, '10-old'), 'exit 0');
    const { told, changes } = await watched(dir);
    await script(join(dir, '20-new'), 'exit 0');
    await told('20-new', 'new');
    expect(changes.map(({ name }) => name)).not.toContain('10-old');
  });

  it('tells a file that is new, edited, replaced and removed', async () => {
    const dir = await temporaryDir();
    const path = join(dir, '20-thing');
    const { told } = await watched(dir);
    await script(path, 'exit 0');
    await told('20-thing', 'new');
    await appendFile(path, '# more\n');
    await told('20-thing', 'changed');
    await script(join(dir, '.20-thing.new'), 'exit 1');
    await rename(join(dir, '.20-thing.new'), path);
    await told('20-thing', 'changed');
    await rm(path);
    await told('20-thing', 'removed');
  });

  it.each([
    ['that everybody may write', (path: string) => chmod(path, 0o777), /chmod go-w/],
    ['that cannot be executed', (path: string) => chmod(path, 0o644), /chmod 755/],
    ['whose header is wrong', (path: string) => writeFile(path, '#!/bin/sh\n# hastate: loud\n'), /'loud'/],
  ])('tells why a hook %s is refused, and when it is accepted again', async (_, wreck, why) => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '20-thing'), 'exit 0');
    const { told } = await watched(dir);
    await wreck(path);
    await told('20-thing', 'changed', why);
    await script(path, 'exit 0');
    await told('20-thing', 'changed');
  });

  it('sees notify.d and fence.d, also when they are made later', async () => {
    const dir = await temporaryDir();
    await mkdir(join(dir, 'notify.d'));
    const { told } = await watched(dir);
    await script(join(dir, 'notify.d/10-mail'), 'exit 0');
    await told('notify.d/10-mail', 'new');
    await script(join(dir, 'fence.d/10-ipmi'), 'exit 0');
    await told('fence.d/10-ipmi', 'new');
  });

  it('sees a directory that is made later, with those above it', async () => {
    const dir = join(await temporaryDir(), 'etc/hastate/hooks');
    const { told } = await watched(dir);
    await script(join(dir, '20-thing'), 'exit 0');
    await told('20-thing', 'new');
  });

  it('ignores what is no hook', async () => {
    const dir = await temporaryDir();
    const { told, changes } = await watched(dir);
    await writeFile(join(dir, '20-thing~'), '');
    await writeFile(join(dir, 'README'), '');
    await script(join(dir, '30-hook'), 'exit 0');
    await told('30-hook', 'new');
    expect(changes.map(({ name }) => name)).toEqual(['30-hook']);
  });

  it('tells a flood in few words', async () => {
    const dir = await temporaryDir();
    const { more, changes } = await watched(dir);
    const names = Array.from({ length: 99 }, (_, n) => `${String(n).padStart(2, '0')}-flood`);
    await Promise.all(names.map((name) => writeFile(join(dir, name), '')));
    await eventually(() => Promise.resolve(more.some((count) => count > 0) ? true : null));
    expect(changes.length).toBeLessThanOrEqual(MAX_TOLD * more.length);
  });

  it('tells nothing once it is closed', async () => {
    const dir = await temporaryDir();
    const { watch, changes } = await watched(dir);
    await script(join(dir, '20-thing'), 'exit 0');
    await watch.close();
    const before = changes.length;
    const other = await watched(dir);
    await script(join(dir, '30-other'), 'exit 0');
    await other.told('30-other', 'new');
    expect(changes).toHaveLength(before);
  });
});
