/**
 * Orders operations on overlapping byte ranges: whoever asked first goes first. Without it two
 * asynchronous writes of one range end in different orders on the two disks.
 * @see hast.md section 7 "Range locks"
 */
export interface RangeHold {
  readonly start: number;
  readonly end: number;
  readonly exclusive: boolean;
  blockers: number;
  readonly blocked: RangeHold[];
  readonly go: () => void;
}

export class RangeLock {
  readonly #holds = new Set<RangeHold>();

  get size(): number {
    return this.#holds.size;
  }

  /**
   * Calls `go` when no earlier overlapping hold is left, perhaps before this returns.
   * Holds that are not exclusive (reads) share their range with each other.
   */
  acquire(start: number, length: number, exclusive: boolean, go: () => void): RangeHold {
    const hold: RangeHold = { start, end: start + length, exclusive, blockers: 0, blocked: [], go };
    for (const other of this.#holds) {
      if (other.start < hold.end && hold.start < other.end && (exclusive || other.exclusive)) {
        other.blocked.push(hold);
        hold.blockers++;
      }
    }
    this.#holds.add(hold);
    if (hold.blockers === 0) go();
    return hold;
  }

  /** Idempotent. */
  release(hold: RangeHold): void {
    if (!this.#holds.delete(hold)) return;
    for (const waiting of hold.blocked) {
      waiting.blockers--;
      if (waiting.blockers === 0 && this.#holds.has(waiting)) waiting.go();
    }
  }
}
