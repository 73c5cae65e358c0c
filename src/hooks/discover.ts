/** Finds the hooks of a directory and says which of them may not run and why. */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { HookError, describeError } from '../model/errors.ts';
import { parseHeader } from './header.ts';
import type { HookHeader } from './header.ts';
import { trustedExecutable, trustedPath } from './trust.ts';

export interface DiscoveredHook {
  /** File name, e.g. `20-ext4`. */
  readonly name: string;
  /** Its place in the order, 0..99. */
  readonly order: number;
  /** Where it was found. */
  readonly path: string;
  /** Where its links end: this is what runs. */
  readonly realPath: string;
  readonly header: HookHeader;
}

export interface RefusedHook {
  readonly path: string;
  /** What is wrong and the command that mends it. */
  readonly reason: string;
}

export interface HookDirectory {
  readonly dir: string;
  /** Ascending. */
  readonly hooks: readonly DiscoveredHook[];
  readonly notify: readonly DiscoveredHook[];
  readonly fence: readonly DiscoveredHook[];
  readonly refused: readonly RefusedHook[];
}

export interface DiscoverOptions {
  /** User beside root whose files are trusted; default: the user of this process. */
  readonly uid?: number;
  /** Looks for these alone and finds none of the others: for whoever is waited for. */
  readonly only?: 'hooks' | 'notify' | 'fence';
}

/** Where hooks are unless hastate.yaml says otherwise. */
export function defaultHooksDir(): string {
  return process.platform === 'freebsd' ? '/usr/local/etc/hastate/hooks' : '/etc/hastate/hooks';
}

/** `NN-name` as run-parts takes names: no dots, so neither backups nor package leftovers run. */
const HOOK_NAME = /^(\d\d)-[A-Za-z0-9_-]+$/;
const HEADER_BYTES = 8192;

/** Whether a file of this name would be taken as a hook. */
export function isHookName(name: string): boolean {
  return HOOK_NAME.test(name);
}

/**
 * Reads `dir` and its `notify.d` and `fence.d`. A directory that is not there has no hooks;
 * a hook that cannot be trusted is in `refused`, as is everything that sources a shared `*.sh`
 * that cannot be trusted. Never throws for what a single file is.
 * @throws HookError `hook-dir` when `dir` exists and cannot be read
 */
export async function discoverHooks(dir: string, options: DiscoverOptions = {}): Promise<HookDirectory> {
  const uid = options.uid ?? process.geteuid?.() ?? 0;
  const refused: RefusedHook[] = [];
  const find = async (what: 'hooks' | 'notify' | 'fence', where: string): Promise<DiscoveredHook[]> =>
    (options.only ?? what) === what ? discoverIn(where, uid, refused) : [];
  const hooks = await find('hooks', dir);
  const notify = await find('notify', join(dir, 'notify.d'));
  const fence = await find('fence', join(dir, 'fence.d'));
  return { dir, hooks, notify, fence, refused };
}

async function discoverIn(dir: string, uid: number, refused: RefusedHook[]): Promise<DiscoveredHook[]> {
  const names = await listed(dir);
  const library = await libraryProblem(dir, names, uid);
  const hooks = names.filter(isHookName);
  const looked = await Promise.all(
    hooks.map(async (name) =>
      library === null ? lookAt(dir, name, uid) : { path: join(dir, name), reason: library },
    ),
  );
  refused.push(...looked.filter((one) => 'reason' in one));
  return looked.filter((one) => 'header' in one);
}

async function lookAt(dir: string, name: string, uid: number): Promise<DiscoveredHook | RefusedHook> {
  const path = join(dir, name);
  try {
    const realPath = await trustedExecutable(path, uid);
    const order = Number(name.slice(0, 2));
    return { name, order, path, realPath, header: await readHeader(realPath) };
  } catch (error) {
    return { path, reason: describeReason(error) };
  }
}

async function listed(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).sort();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw new HookError('hook-dir', `hook directory ${dir} cannot be read; mend it or its permissions`, {
      cause,
    });
  }
}

async function libraryProblem(dir: string, names: readonly string[], uid: number): Promise<string | null> {
  for (const name of names.filter((each) => each.endsWith('.sh'))) {
    try {
      await trustedPath(join(dir, name), uid);
    } catch (error) {
      return describeReason(error);
    }
  }
  return null;
}

/** @throws HookError `hook-header`, or the system's error when it cannot be read */
export async function readHeader(path: string): Promise<HookHeader> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(HEADER_BYTES);
    const { bytesRead } = await file.read(buffer, 0, HEADER_BYTES, 0);
    return parseHeader(buffer.toString('utf8', 0, bytesRead));
  } finally {
    await file.close();
  }
}

function describeReason(error: unknown): string {
  return error instanceof HookError ? error.message : describeError(error);
}
