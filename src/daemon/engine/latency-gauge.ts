/** Says whether the disk answers fast enough to be waited for. */
import { performance } from 'node:perf_hooks';

const FAST_US = 40;
/** A single slow answer must not decide alone. */
const SAMPLE_CAP_US = FAST_US * 4;
const WEIGHT = 1 / 8;
/** Bytes that are copied in 1 µs at least: that part of the time no other thread would save. */
const COPIED_PER_US = 4096;
/** How often a slow disk is tried again. */
const PROBE_MS = 100;
/** After an answer as quick as from memory so many are not measured: telling the time costs a tenth of such a read. */
const MEMORY_US = FAST_US / 4;
const UNMEASURED = 3;
const NOT_MEASURED = -1;

export class LatencyGauge {
  #meanUs = 0;
  #probeAt = 0;
  #unmeasured = 0;

  isFast(): boolean {
    if (this.#meanUs < FAST_US) return true;
    const now = performance.now();
    if (now < this.#probeAt) return false;
    this.#probeAt = now + PROBE_MS;
    return true;
  }

  /** Before a request that is waited for. @returns what end() wants to know */
  begin(): number {
    if (this.#unmeasured === 0) return performance.now();
    this.#unmeasured--;
    return NOT_MEASURED;
  }

  /** Such a request of so many bytes has ended. */
  end(began: number, bytes: number): void {
    if (began !== NOT_MEASURED) this.sample((performance.now() - began) * 1000, bytes);
  }

  /** @param us how long a request of so many bytes took that was waited for */
  sample(us: number, bytes: number): void {
    const waited = Math.max(0, us - bytes / COPIED_PER_US);
    const wasFast = this.#meanUs < FAST_US;
    this.#meanUs += (Math.min(waited, SAMPLE_CAP_US) - this.#meanUs) * WEIGHT;
    if (waited < MEMORY_US) this.#unmeasured = UNMEASURED;
    if (this.#meanUs < FAST_US) return;
    // The next one tells more: a process that others kept from running looks like a slow disk.
    if (waited < FAST_US) this.#probeAt = 0;
    else if (wasFast) this.#probeAt = performance.now() + PROBE_MS;
  }
}
