/**
 * One daemon per pidfile. The lock is flock(2), as hastd takes it, so each keeps the other away and
 * a file that a dead one left means nothing, whatever process has its number now.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type FileHandle, constants, open, rm, stat } from 'node:fs/promises';

import { systemText } from '../config/files.ts';
import { ConfigError, HastateError } from '../model/errors.ts';
import { loadFlock } from './engine/native.ts';

export interface Pidfile {
  readonly path: string;
  /** What this lock does not do, for status; or null. */
  readonly warning: string | null;
  /** Removes it. Idempotent. */
  close(): Promise<void>;
}

const ATTEMPTS = 8;

/**
 * Takes `path` for this process: locks it and writes the process id into it.
 * @throws HastateError `already-running` with the process that holds it; ConfigError `cannot-create`
 */
export async function takePidfile(
  path: string,
  flock: ((fd: number) => Promise<void>) | null = loadFlock(),
): Promise<Pidfile> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const handle = await openFile(path);
    try {
      await lock(handle, path, flock);
      // Whoever ends removes its file: what we locked may be that one and no longer be found by others.
      if (!(await isStill(path, handle))) {
        await handle.close();
        continue;
      }
      await handle.truncate(0);
      await handle.write(`${process.pid}\n`, 0);
    } catch (error) {
      await handle.close();
      throw error instanceof HastateError ? error : cannotCreate(path, error);
    }
    return owned(path, handle, flock !== null);
  }
  throw cannotCreate(path, new Error('it is removed again and again'));
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (cause) {
    throw cannotCreate(path, cause);
  }
}

async function lock(
  handle: FileHandle,
  path: string,
  flock: ((fd: number) => Promise<void>) | null,
): Promise<void> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0);
  const pid = /^\s*(\d{1,10})\s*$/.exec(buffer.toString('latin1', 0, bytesRead))?.[1] ?? null;
  if (flock === null) {
    if (pid !== null && isDaemon(Number(pid))) throw alreadyRunning(path, pid);
    return;
  }
  try {
    await flock(handle.fd);
  } catch {
    throw alreadyRunning(path, pid);
  }
}

async function isStill(path: string, handle: FileHandle): Promise<boolean> {
  const held = await handle.stat();
  try {
    const { dev, ino } = await stat(path);
    return dev === held.dev && ino === held.ino;
  } catch {
    return false;
  }
}

function owned(path: string, handle: FileHandle, locked: boolean): Pidfile {
  let closing: Promise<void> | null = null;
  const remove = async (): Promise<void> => {
    // While the lock is held, so that it is never another daemon's.
    if (await isStill(path, handle)) await rm(path, { force: true });
    await handle.close();
  };
  return {
    path,
    warning: locked
      ? null
      : `the pidfile ${path} is not locked: a second daemon is told by its number only; ` +
        'install the optional package @ronomon/direct-io for flock(2)',
    close: () => (closing ??= remove()),
  };
}

/** Without a lock: the number is in use, and as far as can be seen by one of us and not by somebody later. */
function isDaemon(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
  }
  if (!existsSync('/proc/self/cmdline')) return true;
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.some((word) => word === process.argv[1] || /(^|\/)hast(ate)?d$/.test(word));
  } catch {
    return false;
  }
}

function alreadyRunning(path: string, pid: string | null): HastateError {
  const who = pid === null ? 'another daemon' : `another daemon, pid ${pid},`;
  return new HastateError(
    'already-running',
    `${who} runs already (pidfile ${path}): stop it first, or name another pidfile with -P`,
  );
}

function cannotCreate(path: string, cause: unknown): ConfigError {
  const message = `cannot write the pidfile ${path}: ${systemText(cause)}; make its directory, or name another one with -P`;
  return new ConfigError('cannot-create', message, { cause });
}
