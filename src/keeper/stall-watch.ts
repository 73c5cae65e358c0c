/**
 * Notices that beats stopped. A watcher that did not run itself for a while knows nothing about that time:
 * it reads what is waiting first and then waits anew.
 */
export class StallWatch {
  readonly #stallMs: number;
  readonly #onStall: () => void;
  readonly #timer: NodeJS.Timeout;
  #lastBeat = performance.now();
  #lastCheck = performance.now();
  #stalled = false;

  constructor(stallMs: number, onStall: () => void) {
    this.#stallMs = stallMs;
    this.#onStall = onStall;
    this.#timer = setInterval(() => this.#check(), Math.max(1, stallMs / 8));
  }

  beat(): void {
    this.#lastBeat = performance.now();
    this.#stalled = false;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const now = performance.now();
    // Stopped, suspended or starved: beats may be waiting unread.
    if (now - this.#lastCheck > this.#stallMs / 2) this.#lastBeat = now;
    this.#lastCheck = now;
    if (this.#stalled || now - this.#lastBeat < this.#stallMs) return;
    this.#stalled = true;
    this.#onStall();
  }
}
