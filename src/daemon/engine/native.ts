/** The two native packages that the engine uses where they are installed. Both are optional. */
import { createRequire } from 'node:module';
import { endianness } from 'node:os';

const require = createRequire(import.meta.url);

export interface LibC {
  /** @returns ms, or null where the clock does not exist */
  clockGetTime(clock: number): number | null;
  /** @returns a new descriptor that programs we start do not inherit, or -1 */
  readonly dup: (fd: number) => number;
  /** Null where positions may have less than 64 bits. */
  readonly pread: Move | null;
  readonly pwrite: Move | null;
  /** Linux's fallocate(2) in the thread pool, or null. `done` gets its result: 0, or -1 for any failure. */
  readonly fallocate:
    | ((fd: number, mode: number, offset: number, length: number, done: (result: number) => void) => void)
    | null;
  /** Linux's lseek(2) in the thread pool, or null. `done` gets the new position, or -1 and errno(3). */
  readonly lseek:
    | ((fd: number, offset: number, whence: number, done: (position: number, errno: number) => void) => void)
    | null;
}

/** As the C library's function. @returns bytes, or -1 */
export type Move = (fd: number, buffer: Buffer, bytes: number, position: number) => number;

/** fcntl(2)'s F_DUPFD_CLOEXEC. dup(2) would let hooks inherit the connection. */
const DUPFD_CLOEXEC: Readonly<Partial<Record<NodeJS.Platform, number>>> = { linux: 1030, freebsd: 17 };

interface ForeignFunction {
  (...args: unknown[]): unknown;
  /** The last argument is called back. */
  readonly async: (...args: unknown[]) => void;
}

interface Library {
  func(prototype: string): ForeignFunction;
}

interface Koffi {
  load(path: string | null): Library;
  sizeof(type: string): number;
  /** Of the last call, in a call back of the one that it belongs to. */
  errno(): number;
}

interface DirectIo {
  setFlock(fd: number, value: 0 | 1, callback: (error?: Error | null) => void): void;
}

let libc: LibC | null | undefined;

/** Functions of the C library, or null without koffi. */
export function loadLibC(): LibC | null {
  if (libc === undefined) libc = bindLibC();
  return libc;
}

/** Locks with flock(2), or null without @ronomon/direct-io. Rejects when somebody holds the lock. */
export function loadFlock(): ((fd: number) => Promise<void>) | null {
  let directIo: DirectIo;
  try {
    directIo = require('@ronomon/direct-io') as DirectIo;
  } catch {
    return null;
  }
  return (fd) =>
    new Promise((resolve, reject) => {
      directIo.setFlock(fd, 1, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
}

function bindLibC(): LibC | null {
  try {
    const koffi = require('koffi') as Koffi;
    const library = koffi.load(null);
    const move = (name: string): Move | null =>
      koffi.sizeof('void *') === 8
        ? (library.func(`int64_t ${name}(int, void *, size_t, int64_t)`) as unknown as Move)
        : null;
    const clockGetTime = library.func('int clock_gettime(int, void *)');
    const fcntl = library.func('int fcntl(int, int, ...)');
    const duplicate = DUPFD_CLOEXEC[process.platform];
    const time = new BigInt64Array(2);
    // Its two numbers are below 2^32 for another century: reading halves makes no bigint.
    const halves = new Uint32Array(time.buffer);
    const [seconds, nanoseconds] = endianness() === 'LE' ? [0, 2] : [1, 3];
    return {
      clockGetTime(clock) {
        if (clockGetTime(clock, time) !== 0) return null;
        return (halves[seconds] ?? 0) * 1000 + (halves[nanoseconds] ?? 0) / 1e6;
      },
      dup: (fd) => (duplicate === undefined ? -1 : Number(fcntl(fd, duplicate, 'int', 0))),
      pread: move('pread'),
      pwrite: move('pwrite'),
      fallocate: bindFallocate(library),
      lseek: bindLseek(koffi, library),
    };
  } catch {
    return null;
  }
}

function bindFallocate(library: Library): LibC['fallocate'] {
  if (process.platform !== 'linux') return null;
  const fallocate = library.func('int fallocate(int, int, int64_t, int64_t)');
  return (fd, mode, offset, length, done) => {
    fallocate.async(fd, mode, offset, length, (error: Error | null, result: number) =>
      done(error === null ? result : -1),
    );
  };
}

function bindLseek(koffi: Koffi, library: Library): LibC['lseek'] {
  if (process.platform !== 'linux' || koffi.sizeof('void *') !== 8) return null;
  const lseek = library.func('int64_t lseek(int, int64_t, int)');
  return (fd, offset, whence, done) => {
    lseek.async(fd, offset, whence, (error: Error | null, position: number) => {
      const errno = koffi.errno();
      if (error === null) done(position, errno);
      else done(-1, 0);
    });
  };
}
