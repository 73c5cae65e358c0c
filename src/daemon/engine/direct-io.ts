/**
 * Reads and writes that the calling thread waits for. Through koffi a request costs a tenth less than
 * through Node's functions, which check each argument and trace each call; these do what is not plain:
 * pieces, the end of a disk, and errors by name.
 */
import { readSync, writeSync } from 'node:fs';
import type { IoResult } from '../../replication/ports.ts';
import { loadLibC } from './native.ts';
import type { LibC } from './native.ts';

/** Moves all of a buffer, at a position in bytes. */
export interface DirectIo {
  read(fd: number, position: number, into: Buffer): IoResult;
  write(fd: number, position: number, data: Buffer): IoResult;
}

/** @param libc null: without koffi */
export function directIo(libc: Pick<LibC, 'pread' | 'pwrite'> | null = loadLibC()): DirectIo {
  const { pread, pwrite } = libc ?? { pread: null, pwrite: null };
  if (pread === null || pwrite === null) return NODE_IO;
  return {
    read: (fd, position, into) =>
      pread(fd, into, into.length, position) === into.length ? null : NODE_IO.read(fd, position, into),
    write: (fd, position, data) =>
      pwrite(fd, data, data.length, position) === data.length ? null : NODE_IO.write(fd, position, data),
  };
}

// Two functions that look the same: one for both would call neither directly, which costs as much as the rest of it.
const NODE_IO: DirectIo = {
  read(fd, position, into) {
    try {
      for (let moved = 0; moved < into.length;) {
        const bytes = readSync(fd, into, moved, into.length - moved, position + moved);
        if (bytes === 0) return 'EIO';
        moved += bytes;
      }
      return null;
    } catch (error) {
      return errnoOf(error);
    }
  },
  write(fd, position, data) {
    try {
      for (let moved = 0; moved < data.length;) {
        const bytes = writeSync(fd, data, moved, data.length - moved, position + moved);
        if (bytes === 0) return 'EIO';
        moved += bytes;
      }
      return null;
    } catch (error) {
      return errnoOf(error);
    }
  },
};

/** POSIX name of what a call failed with. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
}
