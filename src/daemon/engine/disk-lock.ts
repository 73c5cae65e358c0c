/**
 * One daemon per disk. flock(2) is what hastd takes as well; without the native package a lock
 * file in the state directory keeps out other hastateds only.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskError } from '../../model/errors.ts';
import { loadFlock } from './native.ts';

export interface DiskLock {
  /** What this lock does not do, for status; or null. */
  readonly warning: string | null;
  release(): void;
}

/**
 * @param fd the disk's; a flock belongs to it and ends with it
 * @throws DiskError `disk-busy`
 */
export async function lockDisk(
  path: string,
  fd: number,
  stateDir: string,
  flock: ((fd: number) => Promise<void>) | null = loadFlock(),
): Promise<DiskLock> {
  if (flock === null) return lockByFile(path, stateDir);
  try {
    await flock(fd);
  } catch (cause) {
    throw busy(path, flockHolder(path), cause);
  }
  return { warning: null, release: () => undefined };
}

async function lockByFile(path: string, stateDir: string): Promise<DiskLock> {
  const directory = join(stateDir, 'locks');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lock = join(directory, `${createHash('sha256').update(path).digest('hex').slice(0, 16)}.lock`);
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const handle = await open(lock, 'wx', 0o600);
      await handle.writeFile(`${process.pid} ${startTime(process.pid)} ${path}\n`);
      await handle.close();
      return {
        warning:
          `${path} is locked by ${lock} only: a plain hastd would not see it; ` +
          'install the optional package @ronomon/direct-io for flock(2)',
        release: () => rmSync(lock, { force: true }),
      };
    } catch (cause) {
      if (errorCode(cause) !== 'EEXIST') {
        throw new DiskError('disk-not-usable', `the lock ${lock} of ${path} cannot be written`, { cause });
      }
      const holder = await lockFileHolder(lock);
      if (holder !== null) throw busy(path, holder, cause);
      // Moved and looked at again before it is removed: another starter may have been faster.
      const stale = `${lock}.${process.pid}`;
      await rename(lock, stale).catch(() => undefined);
      if ((await lockFileHolder(stale)) !== null) await link(stale, lock).catch(() => undefined);
      await rm(stale, { force: true });
    }
  }
  throw busy(path, null, null);
}

/** @returns null when its process is gone */
async function lockFileHolder(lock: string): Promise<string | null> {
  const [pid = '', started = ''] = (await readFile(lock, 'utf8').catch(() => '')).split(' ');
  if (!/^\d+$/.test(pid)) return null;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return null;
  }
  return startTime(Number(pid)) === started ? describeProcess(pid) : null;
}

/** A process id comes again, with another start time. `-` where the system does not tell. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
  } catch {
    return '-';
  }
}

/** Linux lists locks by inode: `1: FLOCK ADVISORY WRITE <pid> <dev>:<inode> 0 EOF`. */
function flockHolder(path: string): string | null {
  try {
    const inode = String(statSync(path).ino);
    for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
      const [, kind, , , pid = '', place = ''] = line.split(/\s+/);
      if (kind === 'FLOCK' && place.split(':')[2] === inode) return describeProcess(pid);
    }
  } catch {
    // Not Linux.
  }
  return null;
}

function describeProcess(pid: string): string {
  const comm = `/proc/${pid}/comm`;
  return existsSync(comm) ? `${readFileSync(comm, 'utf8').trim()} (pid ${pid})` : `process ${pid}`;
}

function busy(path: string, holder: string | null, cause: unknown): DiskError {
  const find = process.platform === 'freebsd' ? `fstat ${path}` : `lsof ${path}`;
  return new DiskError(
    'disk-busy',
    `${path} is held by ${holder ?? 'another daemon'}: hastd or another hastated serves it; ` +
      `stop that first ("${find}" shows who has it open)`,
    { cause },
  );
}

function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error ? String(error.code) : null;
}
