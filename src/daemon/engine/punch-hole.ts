/**
 * Giving space back: fallocate(2) on Linux, through koffi. FreeBSD's fspacectl(2) and what its
 * disks offer are not used: there zeros are written.
 */
import type { Stats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { queueDirectories } from './disk-size.ts';
import { loadLibC } from './native.ts';

/** FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE */
const PUNCH_HOLE = 3;
/** Behind the end nothing can be lost. Bytes. */
const PROBE_BYTES = 4096;

/** `done(false)`: it failed, and some of the range may be punched. Bytes from the start of the file or disk. */
export type PunchHole = (offset: number, length: number, done: (punched: boolean) => void) => void;

/** Null where holes cannot be punched: no koffi, another system, or what `fd` is on does not know how. */
export async function holePuncher(fd: number, stats: Stats, sizeBytes: number): Promise<PunchHole | null> {
  const fallocate = loadLibC()?.fallocate ?? null;
  if (fallocate === null) return null;
  const punch: PunchHole = (offset, length, done) =>
    fallocate(fd, PUNCH_HOLE, offset, length, (result) => done(result === 0));
  const able = stats.isBlockDevice()
    ? await zeroesQuickly(stats.rdev)
    : await new Promise<boolean>((resolve) => punch(sizeBytes, PROBE_BYTES, resolve));
  return able ? punch : null;
}

/** Whether a disk has a command for zeros. */
async function zeroesQuickly(rdev: number): Promise<boolean> {
  for (const directory of queueDirectories(rdev)) {
    const limit = await readFile(`${directory}/write_zeroes_max_bytes`, 'utf8').catch(() => null);
    if (limit !== null) return Number(limit) > 0;
  }
  return false;
}
