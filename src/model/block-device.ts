export interface ZeroOptions {
  /** Durable when answered, as by flush(). */
  readonly fua: boolean;
  /** Space may be given back: later writes there may then fail for lack of it. */
  readonly mayPunch: boolean;
  /** `ENOTSUP` at once, and nothing changed, unless this is quicker than writing zeros. */
  readonly fast: boolean;
}

/** A piece of a disk. */
export interface Allocation {
  /** Bytes. */
  readonly length: number;
  /** It reads as zeros and takes no space; else nothing is known of it. */
  readonly hole: boolean;
}

/**
 * A primary's disk as seen by what exports it. Implemented by the engine, used by the
 * NBD and ggate servers. Offsets and lengths in bytes from the start of the user data.
 * Errors are POSIX names (`EIO`, `ENOSPC`, `EINVAL`, `ESHUTDOWN`), null is success.
 */
export interface BlockDevice {
  readonly sizeBytes: number;
  /** Requests must be multiples of this. */
  readonly sectorBytes: number;
  /** Largest request that is taken in one piece. */
  readonly maxRequestBytes: number;
  /**
   * `done` may be called before this returns. The buffer given to `done` belongs to the caller.
   * @param into memory of that length which the device may fill and give back instead of its own
   */
  read(
    offset: number,
    length: number,
    done: (error: string | null, data: Buffer | null) => void,
    into?: Buffer,
  ): void;
  /**
   * Takes ownership of `data`. With `fua` done means durable as by flush().
   * @param free may be called, once, before or after `done`: `data` is the caller's again
   */
  write(
    offset: number,
    data: Buffer,
    fua: boolean,
    done: (error: string | null) => void,
    free?: () => void,
  ): void;
  flush(done: (error: string | null) => void): void;
  /** The range reads as zeros on every disk when `done` is called without error; of any length. `ENOTSUP`: see `fast`. */
  zero(offset: number, length: number, options: ZeroOptions, done: (error: string | null) => void): void;
  /**
   * A hint that the range is not needed any more, of any length. It may be ignored; all disks read the same
   * afterwards. With `fua` what was done is durable.
   */
  discard(offset: number, length: number, fua: boolean, done: (error: string | null) => void): void;
  /**
   * Where the range has holes, from its start on, perhaps not to its end: one to `most` pieces of whole sectors,
   * neighbours different. No part of a write that was answered before this call is told as a hole. Absent: nothing
   * is known of any range.
   */
  readonly allocation?:
    | ((
        offset: number,
        length: number,
        most: number,
        done: (error: string | null, pieces: readonly Allocation[]) => void,
      ) => void)
    | undefined;
  /** Hints are worth giving: the disk gives space back. */
  readonly discards: boolean;
  /** Bytes of writes taken and not yet answered: over a bound of the server's it stops reading from its client. */
  readonly pendingBytes: number;
}
