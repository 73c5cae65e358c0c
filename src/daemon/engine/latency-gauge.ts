/** Says whether the disk answers fast enough to be waited for. */
const FAST_US = 40;
/** A single slow answer must not decide alone. */
const SAMPLE_CAP_US = FAST_US * 4;
const WEIGHT = 1 / 8;
/** Bytes that are copied in 1 µs at least: that part of the time no other thread would save. */
const COPIED_PER_US = 4096;
/** How often a slow disk is tried again. */
const PROBE_MS = 100;

export class LatencyGauge {
  #meanUs = 0;
  #probeAt = 0;

  isFast(): boolean {
    if (this.#meanUs < FAST_US) return true;
    const now = performance.now();
    if (now < this.#probeAt) return false;
    this.#probeAt = now + PROBE_MS;
    return true;
  }

  /** @param us how long a request of so many bytes took that was waited for */
  sample(us: number, bytes: number): void {
    const waited = Math.max(0, us - bytes / COPIED_PER_US);
    const wasFast = this.#meanUs < FAST_US;
    this.#meanUs += (Math.min(waited, SAMPLE_CAP_US) - this.#meanUs) * WEIGHT;
    if (wasFast && this.#meanUs >= FAST_US) this.#probeAt = performance.now() + PROBE_MS;
  }
}
