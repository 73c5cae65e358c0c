/**
 * Where a file has holes: lseek(2) with SEEK_DATA and SEEK_HOLE on Linux, through koffi. Block devices do not tell.
 */
import { constants } from 'node:os';
import type { Allocation } from '../../model/block-device.ts';
import type { IoResult } from '../../replication/ports.ts';
import { loadLibC } from './native.ts';
import type { LibC } from './native.ts';

const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const { EBADF, ENXIO } = constants.errno;

/** Positions of the descriptor are changed and nobody's. `done` as that of lseek(2). */
export type Seek = (offset: number, whence: number, done: (position: number, errno: number) => void) => void;

type Done = (error: IoResult, pieces: readonly Allocation[]) => void;

/**
 * Null where holes cannot be found: no koffi, another system, or what `fd` is on does not tell. Nor without the
 * reason of a failure: only that tells "a hole up to the end" from a disk that cannot be read.
 */
export async function holeSeeker(
  fd: number,
  sizeBytes: number,
  libc: Pick<LibC, 'lseek'> | null = loadLibC(),
): Promise<Seek | null> {
  const lseek = libc?.lseek ?? null;
  if (lseek === null) return null;
  const seek: Seek = (offset, whence, done) => lseek(fd, offset, whence, done);
  const errnoOf = (descriptor: number): Promise<number> =>
    new Promise((resolve) =>
      lseek(descriptor, sizeBytes, SEEK_DATA, (position, errno) => resolve(position < 0 ? errno : 0)),
    );
  const tells = (await errnoOf(-1)) === EBADF && (await errnoOf(fd)) === ENXIO;
  return tells ? seek : null;
}

/**
 * At most `most` pieces of a range from its start on: whole sectors, a hole only where all of a sector is one.
 * At most two seeks for each, and one. An error is `EIO`, with no pieces.
 */
export function findHoles(
  seek: Seek,
  { offset, length, sectorBytes }: { readonly [Key in 'offset' | 'length' | 'sectorBytes']: number },
  most: number,
  done: Done,
): void {
  const end = offset + length;
  const pieces: { length: number; readonly hole: boolean }[] = [];
  let at = offset;
  let left = 2 * most;
  const add = (to: number, hole: boolean): boolean => {
    const stop = Math.min(to, end);
    const last = pieces.at(-1);
    if (stop > at) {
      if (last?.hole === hole) last.length += stop - at;
      else pieces.push({ length: stop - at, hole });
      at = stop;
    }
    left--;
    return at < end && pieces.length < most && left > 0;
  };
  const holeUpTo = (data: number): void => {
    if (add(Math.floor(data / sectorBytes) * sectorBytes, true)) seek(data, SEEK_HOLE, atHole);
    else done(null, pieces);
  };
  const atHole = (hole: number): void => {
    if (hole <= at) done('EIO', []);
    else if (add(Math.ceil(hole / sectorBytes) * sectorBytes, false)) seek(at, SEEK_DATA, atData);
    else done(null, pieces);
  };
  const atData = (data: number, errno: number): void => {
    if (data >= at) holeUpTo(data);
    // No data follows, in a file that is still as long as it was.
    else if (errno === ENXIO) seek(0, SEEK_END, (size) => (size >= end ? holeUpTo(end) : done('EIO', [])));
    else done('EIO', []);
  };
  seek(at, SEEK_DATA, atData);
}
