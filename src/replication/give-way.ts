/** When work in the background makes itself small, so that applications do not wait for it. Pure. */

/** Between two bursts of applications nothing is under way, and what we start then is in the way of the next. ms. */
const BUSY_MS = 50;

export class GiveWay {
  readonly #now: () => number;
  readonly #busy: () => boolean;
  #busyAt = -Infinity;

  /**
   * @param now ms of the clock
   * @param busy applications have requests under way
   */
  constructor(now: () => number, busy: () => boolean) {
    this.#now = now;
    this.#busy = busy;
  }

  /** Applications are at work, or were a moment ago. */
  get yields(): boolean {
    return this.#busy() || this.#now() - this.#busyAt < BUSY_MS;
  }

  /** The last request of applications ended, for now. */
  idle(): void {
    this.#busyAt = this.#now();
  }
}
