/**
 * Extents in the order of their last write. A list threaded through two arrays: nothing is allocated
 * for a write.
 */
const NONE = -1;
/** `next` of an extent that is not in the list. */
const ABSENT = -2;

export class RecentExtents {
  /** How many are in the list. */
  size = 0;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #oldest = NONE;
  #newest = NONE;

  /** @param extents their numbers are below this */
  constructor(extents: number) {
    this.#next = new Int32Array(extents).fill(ABSENT);
    this.#previous = new Int32Array(extents).fill(NONE);
  }

  /** Puts the extent at the end, wherever it was. */
  touch(e: number): void {
    if (e === this.#newest) return;
    if (this.#next[e] !== ABSENT) this.#unlink(e);
    this.#previous[e] = this.#newest;
    this.#next[e] = NONE;
    if (this.#newest === NONE) this.#oldest = e;
    else this.#next[this.#newest] = e;
    this.#newest = e;
    this.size++;
  }

  /** Removes the one that was written the longest time ago. @returns -1 when there is none */
  takeOldest(): number {
    const e = this.#oldest;
    if (e !== NONE) this.#unlink(e);
    return e;
  }

  #unlink(e: number): void {
    const next = this.#next[e] ?? NONE;
    const previous = this.#previous[e] ?? NONE;
    if (previous === NONE) this.#oldest = next;
    else this.#next[previous] = next;
    if (next === NONE) this.#newest = previous;
    else this.#previous[next] = previous;
    this.#next[e] = ABSENT;
    this.size--;
  }
}
