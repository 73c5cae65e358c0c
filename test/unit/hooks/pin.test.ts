import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { pinHooks } from '../../../src/hooks/pin.ts';
import { runHook } from '../../../src/hooks/run.ts';
import { eventually, script, stepFor, temporaryDir } from './hook-dir.ts';

const options = (dir: string) => ({
  signal: new AbortController().signal,
  outputDir: join(dir, 'out'),
  log: () => undefined,
});

describe('pinHooks', () => {
  it('keeps a running transition on the hooks it began with, while they and their library change', async () => {
    const dir = await temporaryDir();
    const path = await script(
      join(dir, 'hooks/20-thing'),
      '. "$(dirname "$0")/lib.sh"\ntouch "$DIR/up"\nwhile [ ! -e "$DIR/go" ]; do sleep 0.02; done\nsay',
    );
    await script(join(dir, 'hooks/lib.sh'), 'say() { echo old; }');
    const env = { PATH: process.env['PATH'] ?? '', DIR: dir };
    const steps = [stepFor(path, { env }), stepFor(path, { env, name: '30-other', verb: 'again' })];
    const [first, second] = await pinHooks(steps, join(dir, 'pinned'));
    if (first === undefined || second === undefined) throw new Error('steps were lost');

    const running = runHook(first, options(dir));
    await eventually(() => stat(join(dir, 'up')).catch(() => null));
    await script(path, 'echo new');
    await script(join(dir, 'hooks/lib.sh'), 'say() { echo new; }');
    await writeFile(join(dir, 'go'), '');

    expect((await running).output).toBe('old\n');
    expect((await runHook(second, options(dir))).output).toBe('old\n');
    const [next] = await pinHooks(steps, join(dir, 'pinned'));
    expect((await runHook(next ?? first, options(dir))).output).toBe('new\n');
  });

  it('refuses a hook that lost its trust since it was found', async () => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '20-thing'), 'exit 0', 0o777);
    await expect(pinHooks([stepFor(path)], join(dir, 'pinned'))).rejects.toMatchObject({
      code: 'hook-untrusted',
    });
  });

  it('says which hook is gone', async () => {
    const dir = await temporaryDir();
    const gone = join(dir, '20-gone');
    await expect(pinHooks([stepFor(gone)], join(dir, 'pinned'))).rejects.toMatchObject({
      code: 'hook-missing',
    });
  });
});
