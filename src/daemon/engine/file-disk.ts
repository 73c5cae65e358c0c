/**
 * A regular file or disk as the engine's local component. Small requests are done at once in the
 * calling thread as long as that is fast; what is slow or large goes to the thread pool.
 */
import { close, constants, fdatasync, open, read, write } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { DiskError } from '../../model/errors.ts';
import type { DiskPort, DiskProgress, IoResult } from '../../replication/ports.ts';
import { directIo, errnoOf } from './direct-io.ts';
import type { DirectIo } from './direct-io.ts';
import { lockDisk } from './disk-lock.ts';
import type { DiskLock } from './disk-lock.ts';
import { measureDisk } from './disk-size.ts';
import type { DiskSize } from './disk-size.ts';
import { findHoles, holeSeeker } from './find-holes.ts';
import type { Seek } from './find-holes.ts';
import { LatencyGauge } from './latency-gauge.ts';
import { PoolShare } from './pool-share.ts';
import { holePuncher } from './punch-hole.ts';
import type { PunchHole } from './punch-hole.ts';

/** From this many bytes on a request goes to the pool. */
const SYNC_LIMIT_BYTES = 256 * 1024;
/** Metadata, one sector of map, one of data. */
const MIN_SECTORS_BEHIND_METADATA = 2;
const METADATA_BYTES = 4096;

type Done = (error: IoResult) => void;
type HolesDone = Parameters<NonNullable<DiskPort['holes']>>[3];

/** What a request moves: `bytes` are done so far at each call back. */
type PoolCall = (
  fd: number,
  buffer: Buffer,
  offset: number,
  length: number,
  position: number,
  callback: (error: NodeJS.ErrnoException | null, bytes: number) => void,
) => void;

/**
 * Opens `path` for reading and writing and locks it. On Linux a disk that is mounted or in use is refused.
 * @param stateDir for the lock file where flock(2) is not to be had
 * @throws DiskError `disk-missing`, `disk-busy`, `disk-not-usable`, `disk-too-small`
 */
export async function openFileDisk(
  path: string,
  stateDir: string,
  io: DirectIo = directIo(),
): Promise<FileDisk> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw openError(path, cause);
  });
  const size = await measureDisk(path, stats);
  const smallest = METADATA_BYTES + MIN_SECTORS_BEHIND_METADATA * size.sectorBytes;
  if (size.sizeBytes < smallest) {
    throw new DiskError(
      'disk-too-small',
      `${path} has ${size.sizeBytes} bytes; HAST needs at least ${smallest} for its metadata; use a larger one`,
    );
  }
  const exclusive = stats.isBlockDevice() && process.platform === 'linux' ? constants.O_EXCL : 0;
  const fd = await openQuietly(path, constants.O_RDWR | exclusive);
  let durableFd: number | null = null;
  try {
    const lock = await lockDisk(path, fd, stateDir);
    durableFd = await openPath(path, constants.O_RDWR | constants.O_DSYNC);
    const punch = await holePuncher(fd, stats, size.sizeBytes);
    const seek = await holeSeeker(fd, size.sizeBytes);
    return new FileDisk(fd, durableFd, size, lock, { punch, seek }, io);
  } catch (error) {
    await closeFd(fd);
    if (durableFd !== null) await closeFd(durableFd);
    throw error;
  }
}

const closeFd = promisify(close);

export class FileDisk implements DiskPort {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** What the lock does not do, for status; or null. */
  readonly warning: string | null;
  readonly punch: DiskPort['punch'];
  readonly holes: DiskPort['holes'];
  readonly #fd: number;
  readonly #durableFd: number;
  readonly #lock: DiskLock;
  readonly #io: DirectIo;
  readonly #reads = new LatencyGauge();
  readonly #writes = new LatencyGauge();
  readonly #share = new PoolShare();
  /** One at a time: many seeks of many askers would keep flushes waiting. */
  readonly #seekers = new PoolShare(1);
  #running = 0;
  #flushing = 0;
  #finished = 0;
  #closed = false;
  #whenIdle: (() => void) | null = null;

  /** Takes over both descriptors and the lock. @see openFileDisk */
  constructor(
    fd: number,
    durableFd: number,
    size: DiskSize,
    lock: DiskLock,
    { punch, seek }: { readonly punch: PunchHole | null; readonly seek: Seek | null },
    io: DirectIo,
  ) {
    this.#io = io;
    this.#fd = fd;
    this.#durableFd = durableFd;
    this.sizeBytes = size.sizeBytes;
    this.sectorBytes = size.sectorBytes;
    this.#lock = lock;
    this.warning = lock.warning;
    this.punch =
      punch === null ? undefined : (offset, length, done) => this.#punch(punch, offset, length, done);
    if (seek === null) return;
    const inTurn: Seek = (position, whence, done) =>
      this.#share.enter((leave) =>
        seek(position, whence, (found, errno) => {
          leave();
          done(found, errno);
        }),
      );
    this.holes = (offset, length, most, done) => this.#holes(inTurn, offset, length, most, done);
  }

  read(offset: number, into: Buffer, done: Done): void {
    if (!this.#begin(offset, into.length, done)) return;
    if (into.length >= SYNC_LIMIT_BYTES || !this.#reads.isFast()) {
      this.#pool(this.#fd, offset, into, 0, read, done);
      return;
    }
    const began = this.#reads.begin();
    const result = this.#io.read(this.#fd, offset, into);
    this.#reads.end(began, into.length);
    this.#finish(done, result);
  }

  write(offset: number, data: Buffer, done: Done): void {
    if (!this.#begin(offset, data.length, done)) return;
    if (data.length >= SYNC_LIMIT_BYTES || !this.#writes.isFast()) {
      this.#pool(this.#fd, offset, data, 0, write, done);
      return;
    }
    const began = this.#writes.begin();
    const result = this.#io.write(this.#fd, offset, data);
    this.#writes.end(began, data.length);
    this.#finish(done, result);
  }

  writeDurable(offset: number, data: Buffer, done: Done): void {
    if (!this.#begin(offset, data.length, done)) return;
    this.#pool(this.#durableFd, offset, data, 0, write, done);
  }

  flush(done: Done): void {
    if (!this.#begin(0, 0, done)) return;
    this.#flushing += 1;
    this.#share.enter((leave) =>
      fdatasync(this.#fd, (error) => {
        leave();
        this.#flushing -= 1;
        this.#finish(done, error === null ? null : errnoOf(error));
      }),
    );
  }

  progress(): DiskProgress {
    return { running: this.#running, flushing: this.#flushing, finished: this.#finished };
  }

  #punch(punch: PunchHole, offset: number, length: number, done: Done): void {
    if (!this.#begin(offset, length, done)) return;
    punch(offset, length, (punched) => this.#finish(done, punched ? null : 'EOPNOTSUPP'));
  }

  #holes(seek: Seek, offset: number, length: number, most: number, done: HolesDone): void {
    if (!this.#begin(offset, length, (error) => done(error, []))) return;
    const { sectorBytes } = this;
    this.#seekers.enter((leave) =>
      findHoles(seek, { offset, length, sectorBytes }, most, (error, pieces) => {
        leave();
        this.#finish((result) => done(result, pieces), error);
      }),
    );
  }

  /** Waits for what runs, then lets go of the disk. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    await closeFd(this.#durableFd);
    await closeFd(this.#fd);
    this.#lock.release();
  }

  #pool(fd: number, offset: number, buffer: Buffer, moved: number, call: PoolCall, done: Done): void {
    this.#share.enter((leave) =>
      call(fd, buffer, moved, buffer.length - moved, offset + moved, (error, bytes) => {
        leave();
        if (error !== null) this.#finish(done, errnoOf(error));
        else if (moved + bytes === buffer.length) this.#finish(done, null);
        else if (bytes === 0) this.#finish(done, 'EIO');
        else this.#pool(fd, offset, buffer, moved + bytes, call, done);
      }),
    );
  }

  #begin(offset: number, length: number, done: Done): boolean {
    if (this.#closed) done('EBADF');
    else if (offset < 0 || offset + length > this.sizeBytes) done('EINVAL');
    else {
      this.#running++;
      return true;
    }
    return false;
  }

  #finish(done: Done, result: IoResult): void {
    this.#running--;
    this.#finished++;
    done(result);
    if (this.#running === 0) this.#whenIdle?.();
  }
}

/** Nobody needs to know when a disk was read last. Only its owner and root may leave that out. */
async function openQuietly(path: string, flags: number): Promise<number> {
  const { O_NOATIME } = constants as Partial<typeof constants>;
  if (O_NOATIME === undefined) return openPath(path, flags);
  return openPath(path, flags | O_NOATIME).catch(() => openPath(path, flags));
}

function openPath(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, flags, (error, fd) => {
      if (error === null) resolve(fd);
      else reject(openError(path, error));
    });
  });
}

function openError(path: string, cause: unknown): DiskError {
  const code = errnoOf(cause);
  switch (code) {
    case 'ENOENT':
    case 'ENXIO':
    case 'ENODEV':
      return new DiskError(
        'disk-missing',
        `${path} does not exist: attach the disk, or correct "local" in hast.conf`,
        { cause },
      );
    case 'EBUSY':
      return new DiskError(
        'disk-busy',
        `${path} is mounted or in use by another program: unmount it; only the HAST device may be mounted`,
        { cause },
      );
    default:
      return new DiskError(
        'disk-not-usable',
        `${path} cannot be opened for reading and writing (${code}): check its permissions and that it is not read-only`,
        { cause },
      );
  }
}
