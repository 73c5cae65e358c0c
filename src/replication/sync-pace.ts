/** How fast a resync goes: the limit that it keeps, and the time that it will take. Pure. */

/** What an idle moment may be made up for. ms. */
const CREDIT_MS = 100;
/** How much of the time one piece may stand for. ms. */
const PIECE_MS = 50;

/** Lets so many bytes pass in a second; the pieces are small against that. */
export class RateLimit {
  readonly #bytesPerMs: number;
  #nextAt = -Infinity;

  /** @param bytesPerSecond null or 0: without limit */
  constructor(bytesPerSecond: number | null) {
    this.#bytesPerMs = (bytesPerSecond ?? 0) / 1000;
  }

  /** Bytes of one piece: `most`, or as many times `least` as keep the pace even. */
  piece(most: number, least: number): number {
    if (this.#bytesPerMs === 0) return most;
    return Math.min(most, Math.max(1, Math.floor((this.#bytesPerMs * PIECE_MS) / least)) * least);
  }

  /** ms until the next piece may start, 0 for now. */
  waitMs(now: number): number {
    return this.#bytesPerMs === 0 ? 0 : Math.max(0, this.#nextAt - now);
  }

  /** A piece of so many bytes starts. */
  spend(bytes: number, now: number): void {
    if (this.#bytesPerMs === 0) return;
    this.#nextAt = Math.max(this.#nextAt, now - CREDIT_MS) + bytes / this.#bytesPerMs;
  }
}

/** Over this time the rate is taken, so that it follows a limit or load that changes. ms. */
const WINDOW_MS = 5000;
const SAMPLE_MS = 250;

/** Rate of the last seconds. */
export class SyncSpeed {
  #samples: { readonly at: number; readonly bytes: number }[] = [];

  start(now: number): void {
    this.#samples = [{ at: now, bytes: 0 }];
  }

  /** @param bytes copied since start() */
  note(bytes: number, now: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && now - last.at < SAMPLE_MS) return;
    this.#samples.push({ at: now, bytes });
    while (this.#samples.length > 2 && now - (this.#samples[1]?.at ?? now) >= WINDOW_MS)
      this.#samples.shift();
  }

  /** Bytes per second; 0 when nothing was copied in that time. */
  rate(bytes: number, now: number): number {
    const first = this.#samples[0];
    if (first === undefined || now <= first.at) return 0;
    return ((bytes - first.bytes) / (now - first.at)) * 1000;
  }
}

/** ms that `bytes` take at that rate; null when it stands still. */
export function timeFor(bytes: number, bytesPerSecond: number): number | null {
  if (bytes === 0) return 0;
  return bytesPerSecond > 0 ? Math.ceil((bytes / bytesPerSecond) * 1000) : null;
}
