/** A hook directory with real executables, and steps to run them. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach } from 'vitest';

import type { HookStep } from '../../../src/model/hook.ts';

const made: string[] = [];

afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
});

export async function temporaryDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hastate-hooks-'));
  made.push(dir);
  return dir;
}

/** Writes an executable shell script; `body` follows the first line. */
export async function script(path: string, body: string, mode = 0o755): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, mode);
  return path;
}

export function stepFor(path: string, changes: Partial<HookStep> = {}): HookStep {
  return {
    group: 'storage',
    name: '20-thing',
    path,
    verb: 'start',
    args: [],
    env: { PATH: process.env['PATH'] ?? '' },
    timeoutMs: 20_000,
    graceMs: 300,
    retries: 0,
    retryDelayMs: 1,
    ...changes,
  };
}

/** Polls a condition of the outside world that gives no event. */
export async function eventually<Value>(
  read: () => Promise<Value | null>,
  withinMs = 10_000,
): Promise<Value> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = await read();
    if (value !== null) return value;
    if (performance.now() > deadline) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
