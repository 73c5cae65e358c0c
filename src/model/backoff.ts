/** How long to wait before the next attempt: longer each time, up to a bound, until one lasts. Pure; times in ms. */
export interface BackoffBounds {
  readonly firstMs: number;
  readonly mostMs: number;
  /** What worked for so long was no failure. */
  readonly steadyMs: number;
  /** From this wait on it is worth a line in the log. */
  readonly tellFromMs: number;
}

export class Backoff {
  readonly #bounds: BackoffBounds;
  #nextMs: number;
  #beganAt: number | null = null;
  #told = false;

  constructor(bounds: BackoffBounds) {
    this.#bounds = bounds;
    this.#nextMs = bounds.firstMs;
  }

  /** It works, which may not last. */
  began(now: number): void {
    this.#beganAt = now;
  }

  /** It does what it is for, or a person wants it tried at once. */
  reset(): void {
    this.#nextMs = this.#bounds.firstMs;
    this.#beganAt = null;
    this.#told = false;
  }

  /** An attempt failed, or what it began has ended. @returns the wait before the next one */
  failed(now: number): number {
    if (this.#beganAt !== null && now - this.#beganAt >= this.#bounds.steadyMs) this.reset();
    this.#beganAt = null;
    const wait = this.#nextMs;
    this.#nextMs = Math.min(2 * wait, this.#bounds.mostMs);
    return wait;
  }

  /** True once, when the waits have become long. @param wait what failed() returned */
  isNews(wait: number): boolean {
    if (this.#told || wait < this.#bounds.tellFromMs) return false;
    this.#told = true;
    return true;
  }
}
