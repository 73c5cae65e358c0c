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
  /** Takes ownership of `data`. With `fua` done means durable as by flush(). */
  write(offset: number, data: Buffer, fua: boolean, done: (error: string | null) => void): void;
  flush(done: (error: string | null) => void): void;
  /** Bytes of writes taken and not yet answered: over a bound of the server's it stops reading from its client. */
  readonly pendingBytes: number;
}
