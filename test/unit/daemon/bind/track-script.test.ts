import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { scriptCheck } from '../../../../src/daemon/bind/track-script.ts';
import { watchTracked } from '../../../../src/net/track-watch.ts';

const never = new AbortController().signal;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hastate-track-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function script(body: string): Promise<string> {
  const path = join(directory, 'check');
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}
const until = async (fits: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await fits())) await new Promise((resolve) => setImmediate(resolve));
};
const isGone = async (pid: number): Promise<boolean> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat === '' || / Z /.test(stat);
};

describe('a script', () => {
  it.each([
    ['exit 0', true, /ended with 0/],
    ['exit 3', false, /ended with 3/],
    ['kill -9 $$', false, /ended with SIGKILL/],
  ])('that says `%s` is well: %s', async (body, well, why) => {
    const result = await scriptCheck(await script(body))(never);
    expect(result).toEqual({ well, why: expect.stringMatching(why) as unknown });
  });

  it('that is not there is not well, and why is told', async () => {
    const result = await scriptCheck(join(directory, 'missing'))(never);
    expect(result).toEqual({
      well: false,
      why: expect.stringMatching(/missing cannot be read; create it/) as unknown,
    });
  });

  it('that takes too long is killed with everything that it started', async () => {
    const pids = join(directory, 'pids');
    const path = await script(`sleep 60 & echo $! >${pids}; echo $$ >>${pids}; wait`);
    const late = new AbortController();
    const checked = scriptCheck(path)(late.signal);
    const read = async (): Promise<number[]> =>
      (await readFile(pids, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
    await until(async () => (await read()).length === 2);
    late.abort();
    expect(await checked).toEqual({ well: false, why: `${path} took too long` });
    for (const pid of await read()) await until(() => isGone(pid));
  });

  it('is killed with what left its process group, and runs again when all of it is gone', async () => {
    const pids = join(directory, 'pids');
    const path = await script(`setsid sh -c 'echo $$ >>${pids}; exec sleep 60' & echo $$ >>${pids}; wait`);
    const check = scriptCheck(path);
    const late = new AbortController();
    const checked = check(late.signal);
    const read = async (): Promise<number[]> =>
      (await readFile(pids, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
    await until(async () => (await read()).length === 2);
    late.abort();
    await checked;
    for (const pid of await read()) await until(() => isGone(pid));
    await script('exit 0');
    await until(async () => (await check(never)).well);
  });

  it('that others may change is not run, and the way to mend that is told', async () => {
    const path = await script(`touch ${join(directory, 'ran')}`);
    await chmod(path, 0o777);
    expect(await scriptCheck(path)(never)).toEqual({
      well: false,
      why: `${path} is writable by everybody, who could change what runs; run: chmod go-w ${path}`,
    });
    const open = join(directory, 'open');
    await mkdir(open);
    const inside = join(open, 'check');
    await writeFile(inside, '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    await chmod(open, 0o777);
    expect((await scriptCheck(inside)(never)).why).toContain(`${open} is writable by everybody`);
    await chmod(open, 0o755);
    expect((await scriptCheck(inside)(never)).well).toBe(true);
    await expect(readFile(join(directory, 'ran'))).rejects.toThrow('ENOENT');
  });

  it('is not looked at any more once it is closed, and what runs is ended', async () => {
    const pids = join(directory, 'pids');
    const path = await script(`echo $$ >${pids}; exec sleep 60`);
    const about = { name: 'x', weight: 0, intervalMs: 1, timeoutMs: 60_000, rise: 1, fall: 1 };
    const watch = watchTracked(about, () => expect.unreachable(), scriptCheck(path));
    const read = async (): Promise<number> => Number(await readFile(pids, 'utf8').catch(() => ''));
    await until(async () => (await read()) > 0);
    await watch.close();
    await until(async () => isGone(await read()));
    expect(watch.state()).toEqual({ well: true, against: 0 });
  });
});
