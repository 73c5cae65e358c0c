/**
 * Orders operations on overlapping byte ranges: whoever asked first goes first. Without it two
 * asynchronous writes of one range end in different orders on the two disks.
 * Holds lie in a fixed table by where they begin and end, so that one is compared with its neighbours
 * only. (A Set would be slower and, since V8 links its old tables, would keep ended operations in memory.)
 * @see hast.md section 7 "Range locks"
 */
export interface RangeHold {
  readonly start: number;
  readonly end: number;
  readonly exclusive: boolean;
  blockers: number;
  /** Later holds that wait for this one; null while there are none. */
  blocked: RangeHold[] | null;
  readonly go: (hold: RangeHold) => void;
  /** Places in the table: first and last cell, -1 for all of them. */
  readonly first: number;
  readonly last: number;
  held: boolean;
}

const CELL_BYTES = 1024 * 1024;
const CELLS = 256;
/** Cells that a hold may stand in; a longer one is compared with every other. */
const MAX_CELLS = 4;
const WIDE = -1;

export class RangeLock {
  readonly #cells: RangeHold[][] = Array.from({ length: CELLS }, () => []);
  readonly #wide: RangeHold[] = [];
  /** Free to go. A loop takes them, since each may end at once and free the next: a thousand deep. */
  readonly #ready: RangeHold[] = [];
  #granting = false;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /**
   * Calls `go` with the hold when no earlier overlapping one is left, perhaps before this returns.
   * Holds that are not exclusive (reads) share their range with each other.
   */
  acquire(start: number, length: number, exclusive: boolean, go: (hold: RangeHold) => void): RangeHold {
    const end = start + length;
    const low = Math.floor(start / CELL_BYTES);
    const high = Math.floor((end - 1) / CELL_BYTES);
    const wide = high - low >= MAX_CELLS || length <= 0;
    const hold: RangeHold = {
      start,
      end,
      exclusive,
      blockers: 0,
      blocked: null,
      go,
      first: wide ? WIDE : low,
      last: wide ? WIDE : high,
      held: true,
    };
    block(hold, this.#wide);
    if (wide) {
      for (const cell of this.#cells) block(hold, cell);
      this.#wide.push(hold);
    } else {
      for (let cell = low; cell <= high; cell++) {
        const holds = this.#cell(cell);
        block(hold, holds);
        holds.push(hold);
      }
    }
    this.#size++;
    if (hold.blockers === 0) go(hold);
    return hold;
  }

  /** Idempotent. */
  release(hold: RangeHold): void {
    if (!hold.held) return;
    hold.held = false;
    this.#size--;
    if (hold.first === WIDE) remove(hold, this.#wide);
    else for (let cell = hold.first; cell <= hold.last; cell++) remove(hold, this.#cell(cell));
    if (hold.blocked === null) return;
    for (const waiting of hold.blocked) if (--waiting.blockers === 0) this.#ready.push(waiting);
    if (!this.#granting) this.#grant();
  }

  #grant(): void {
    this.#granting = true;
    try {
      for (let next = this.#ready.shift(); next !== undefined; next = this.#ready.shift())
        if (next.held) next.go(next);
    } finally {
      this.#granting = false;
    }
  }

  #cell(index: number): RangeHold[] {
    return this.#cells[index % CELLS] ?? this.#wide;
  }
}

/** Has `hold` wait for what overlaps it. A pair that shares several cells counts once. */
function block(hold: RangeHold, others: readonly RangeHold[]): void {
  for (const other of others) {
    if (other.start >= hold.end || hold.start >= other.end || !(hold.exclusive || other.exclusive)) continue;
    if (other.blocked === null) other.blocked = [hold];
    else if (other.blocked.at(-1) === hold) continue;
    else other.blocked.push(hold);
    hold.blockers++;
  }
}

function remove(hold: RangeHold, from: RangeHold[]): void {
  const index = from.indexOf(hold);
  if (index < 0) return;
  const last = from.pop();
  if (last !== undefined && last !== hold) from[index] = last;
}

/** Calls `work` once it has the range, and gives the range back when `work` says so, perhaps at once. */
export function withRange(
  locks: RangeLock,
  start: number,
  length: number,
  exclusive: boolean,
  work: (release: () => void) => void,
): void {
  locks.acquire(start, length, exclusive, (hold) => work(() => locks.release(hold)));
}
