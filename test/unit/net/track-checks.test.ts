import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TrackSettings } from '../../../src/model/tracking.ts';
import { createCheck } from '../../../src/net/track-checks.ts';
import type { CheckResult } from '../../../src/net/track-checks.ts';
import { watchTracked } from '../../../src/net/track-watch.ts';
import type { TrackWatch } from '../../../src/net/track-watch.ts';

const never = new AbortController().signal;
const children: ChildProcess[] = [];
const watches: TrackWatch[] = [];
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hastate-track-'));
});
afterEach(async () => {
  for (const watch of watches.splice(0)) await watch.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

async function file(text: string): Promise<string> {
  const path = join(directory, 'file');
  await writeFile(path, text);
  return path;
}
async function sleeper(): Promise<ChildProcess> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child;
}
const until = async (fits: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await fits())) await new Promise((resolve) => setImmediate(resolve));
};
describe('a process', () => {
  it('is known by its pidfile while it runs', async () => {
    const child = await sleeper();
    const path = await file(`${child.pid ?? 0}\n`);
    const check = createCheck('process', path);
    expect((await check(never)).well).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await check(never)).toEqual({ well: false, why: `process ${child.pid ?? 0} of ${path} is gone` });
  });

  it('of a pidfile with no number, or of none, is not well', async () => {
    expect((await createCheck('process', await file('soon'))(never)).well).toBe(false);
    expect((await createCheck('process', join(directory, 'none'))(never)).why).toMatch(/ENOENT/);
  });

  it('is known by its name, also where the system cuts it', async () => {
    const name = 'hastate-track-checks-sleeper';
    const path = join(directory, name);
    await writeFile(path, await readFile('/bin/sleep'), { mode: 0o755 });
    expect((await createCheck('process', name)(never)).well).toBe(false);
    const child = spawn(path, ['60'], { stdio: 'ignore' });
    children.push(child);
    await once(child, 'spawn');
    await until(async () => (await createCheck('process', name)(never)).well);
  });
});

describe('a file', () => {
  it.each([
    ['', true],
    ['0\n', true],
    ['1\n', false],
    ['-5', false],
    ['drain', false],
  ])('that says %j is well: %s', async (text, well) => {
    expect((await createCheck('file', await file(text))(never)).well).toBe(well);
  });

  it('that is not there asks for nothing, and a directory is no answer', async () => {
    expect((await createCheck('file', join(directory, 'none'))(never)).well).toBe(true);
    expect(await createCheck('file', directory)(never)).toMatchObject({ well: false });
  });
});

describe('an address and an interface', () => {
  it('that accepts connections is well until it does not answer', async () => {
    const server = createServer((socket) => socket.destroy());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const check = createCheck('tcp', `127.0.0.1:${port}`);
    expect(await check(never)).toEqual({ well: true, why: `127.0.0.1:${port} answers` });
    server.close();
    // Nothing is sent there, so nothing is answered.
    const late = new AbortController();
    const silent = createCheck('tcp', '192.0.2.1:9')(late.signal);
    late.abort();
    expect((await silent).well).toBe(false);
  });

  it.each([
    ['lo', true],
    ['no-such-if0', false],
  ])('%s is well: %s', async (name, well) => {
    expect((await createCheck('interface', name)(never)).well).toBe(well);
  });
});

describe('a tracked thing', () => {
  const settings = {
    ...{ name: 'x', weight: 0 },
    ...{ intervalMs: 1, timeoutMs: 1000, rise: 2, fall: 3 },
  };
  function watched(answers: readonly boolean[], changes: Partial<TrackSettings> = {}): Promise<string[]> {
    const told: string[] = [];
    let looks = 0;
    return new Promise((resolve) => {
      const check = (): Promise<CheckResult> => {
        looks += 1;
        if (looks > answers.length) resolve(told);
        const well = answers[looks - 1] ?? true;
        return Promise.resolve({ well, why: `look ${looks}` });
      };
      const tell = (well: boolean, why: string): void => void told.push(`${String(well)}: ${why}`);
      watches.push(watchTracked({ ...settings, ...changes }, tell, check));
    });
  }

  it('fails after as many failures in a row as `fall` says, and is well again after `rise`', async () => {
    const [yes, no] = [true, false];
    expect(await watched([no, no, yes, no, no, no, yes, no, yes, yes])).toEqual([
      'false: look 6',
      'true: look 10',
    ]);
  });

  it('fails when its look takes too long', async () => {
    const told = await new Promise<string>((resolve) => {
      const changes = { ...settings, kind: 'file', fall: 1, timeoutMs: 20 } as const;
      watches.push(
        watchTracked(
          changes,
          (_, why) => resolve(why),
          () => new Promise<CheckResult>(() => undefined),
        ),
      );
    });
    expect(told).toBe('no answer in 20 ms');
  });
});
