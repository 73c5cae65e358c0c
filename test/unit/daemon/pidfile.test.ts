import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadFlock } from '../../../src/daemon/engine/native.ts';
import { takePidfile } from '../../../src/daemon/pidfile.ts';
import { needs } from '../../support/needs.ts';

let directory: string;
let path: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hastate-pid-'));
  path = join(directory, 'hastd.pid');
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await rm(directory, { recursive: true });
});

function run(program: string, ...args: string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

/** Another process that holds flock(2) on the file, as hastd does, and the file says its number. */
async function holder(): Promise<ChildProcess> {
  const child = run(
    'flock',
    '--exclusive',
    '--no-fork',
    path,
    'sh',
    '-c',
    `echo $$ > ${path}; echo locked; exec sleep 60`,
  );
  if (child.stdout === null) throw new Error('it has an output');
  await once(child.stdout, 'data');
  return child;
}

describe.each([
  ['with flock', loadFlock()],
  ['without flock', null],
])('a pidfile %s', (_how, flock) => {
  it('holds our number while it is ours, and goes with us', async () => {
    const taken = await takePidfile(path, flock);
    expect(await readFile(path, 'utf8')).toBe(`${process.pid}\n`);
    await Promise.all([taken.close(), taken.close()]);
    expect(existsSync(path)).toBe(false);
  });

  it('of a dead process means nothing', async () => {
    const dead = run('true');
    await once(dead, 'exit');
    await writeFile(path, `${dead.pid ?? 0}\n`);
    await (await takePidfile(path, flock)).close();
  });

  it('means nothing when its number belongs to somebody else by now', async () => {
    const stranger = run('sleep', '60');
    await writeFile(path, `${stranger.pid ?? 0}\n`);
    await (await takePidfile(path, flock)).close();
  });

  it.each(['', 'no number\n', '-1\n', '99999999999999999999\n', 'x'.repeat(100_000)])(
    'with %j in it is taken over, and holds nothing but our number then',
    async (text) => {
      await writeFile(path, text);
      const taken = await takePidfile(path, flock);
      expect(await readFile(path, 'utf8')).toBe(`${process.pid}\n`);
      await taken.close();
    },
  );

  it('that cannot be written is told with what to do', async () => {
    const nowhere = join(directory, 'no', 'hastd.pid');
    await expect(takePidfile(nowhere, flock)).rejects.toMatchObject({
      code: 'cannot-create',
      message: `cannot write the pidfile ${nowhere}: no such file or directory; make its directory, or name another one with -P`,
    });
  });
});

describe.skipIf(needs('@ronomon/direct-io', 'flock'))('the lock of a pidfile', () => {
  it('keeps us away while another process holds it, and names that one', async () => {
    const other = await holder();
    await expect(takePidfile(path)).rejects.toMatchObject({
      code: 'already-running',
      message: expect.stringContaining(
        `another daemon, pid ${other.pid ?? 0}, runs already (pidfile ${path})`,
      ) as unknown,
    });
    expect(await readFile(path, 'utf8')).toBe(`${other.pid ?? 0}\n`);
    other.kill('SIGKILL');
    await once(other, 'exit');
    await (await takePidfile(path)).close();
  });

  it('keeps others away from ours', async () => {
    const taken = await takePidfile(path);
    const refused = run('flock', '--nonblock', path, 'true');
    expect(await once(refused, 'exit')).toEqual([1, null]);
    await taken.close();
    const after = run('flock', '--nonblock', path, 'true');
    expect(await once(after, 'exit')).toEqual([0, null]);
  });

  it('has one owner, however many start at once', async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => takePidfile(path)));
    const taken = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(taken).toHaveLength(1);
    await taken[0]?.close();
  });

  it('is not mistaken for that of a file which its owner has just removed', async () => {
    const first = await takePidfile(path);
    await rm(path);
    await symlink('real.pid', path);
    const second = await takePidfile(path);
    await first.close();
    // The first removed only what was its own.
    expect(await readFile(path, 'utf8')).toBe(`${process.pid}\n`);
    await second.close();
  });
});

it('says what is lost without the lock', async () => {
  const taken = await takePidfile(path, null);
  expect(taken.warning).toContain('install the optional package @ronomon/direct-io');
  await taken.close();
});
