/**
 * Whether a file may be run as this daemon: nobody else may change it, replace it
 * or any directory or link on the way to it.
 */
import { lstat, readlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

import { HookError } from '../model/errors.ts';

const GROUP_WRITE = 0o020;
const OTHER_WRITE = 0o002;
const STICKY = 0o1000;
const ANY_EXECUTE = 0o111;
const MAX_LINKS = 32;

/**
 * Follows `path` component by component and returns where it ends, free of links.
 * @param uid the daemon's user, trusted beside root
 * @throws HookError `hook-untrusted` naming the component that is wrong and the command that mends it
 */
export async function trustedPath(path: string, uid: number): Promise<string> {
  let pending = resolve(path).split('/').filter(Boolean);
  let at = '/';
  let links = 0;
  checkComponent('/', await lstat('/'), uid, pending.length <= 1);
  for (let word = pending.shift(); word !== undefined; word = pending.shift()) {
    if (word === '..') {
      at = dirname(at);
      continue;
    }
    const here = join(at, word);
    const stats = await lstat(here).catch((cause: unknown) => {
      throw new HookError('hook-missing', `${here} cannot be read; create it or mend the link to it`, {
        cause,
      });
    });
    checkComponent(here, stats, uid, pending.length <= 1);
    if (!stats.isSymbolicLink()) {
      at = here;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS)
      throw new HookError('hook-untrusted', `${here} is a link that leads to itself; remove it`);
    const target = await readlink(here);
    if (target.startsWith('/')) at = '/';
    pending = [...target.split('/').filter((each) => each !== '' && each !== '.'), ...pending];
  }
  return at;
}

/** @throws HookError `hook-untrusted` */
export async function trustedExecutable(path: string, uid: number): Promise<string> {
  const real = await trustedPath(path, uid);
  const stats = await lstat(real);
  if (!stats.isFile())
    throw new HookError('hook-untrusted', `${real} is not a regular file; put an executable file there`);
  if ((stats.mode & ANY_EXECUTE) === 0)
    throw new HookError('hook-not-executable', `${real} is not executable; run: chmod 755 ${quoted(real)}`);
  return real;
}

/** A sticky directory protects what others own, but not the place where new hooks would appear. */
function checkComponent(path: string, stats: Stats, uid: number, holdsOrIsFile: boolean): void {
  if (stats.uid !== 0 && stats.uid !== uid) {
    const flag = stats.isSymbolicLink() ? '-h ' : '';
    throw new HookError(
      'hook-untrusted',
      `${path} belongs to user ${stats.uid}, who could change what runs; run: chown ${flag}${uid === 0 ? 'root' : uid} ${quoted(path)}`,
    );
  }
  if (stats.isSymbolicLink()) return;
  const writable = stats.mode & (GROUP_WRITE | OTHER_WRITE);
  if (writable === 0) return;
  if (stats.isDirectory() && (stats.mode & STICKY) !== 0 && !holdsOrIsFile) return;
  const who = (writable & OTHER_WRITE) !== 0 ? 'everybody' : 'its group';
  throw new HookError(
    'hook-untrusted',
    `${path} is writable by ${who}, who could change what runs; run: chmod go-w ${quoted(path)}`,
  );
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
