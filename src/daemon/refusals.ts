/** Connections of the data link that belong to no resource and were turned away: the last few, for status. */
import type { RefusedConnection } from '../protocol/control.ts';

const MAX_KEPT = 8;

interface Kept {
  readonly address: string;
  readonly reason: string;
  at: number;
  count: number;
}

export class Refusals {
  readonly #now: () => number;
  /** The latest last. */
  readonly #kept = new Map<string, Kept>();

  /** @param now ms, monotonic */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(address: string, reason: string): void {
    const key = `${address} ${reason}`;
    const kept = this.#kept.get(key) ?? { address, reason, at: 0, count: 0 };
    kept.at = this.#now();
    kept.count++;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
  }

  list(): RefusedConnection[] {
    const now = this.#now();
    return [...this.#kept.values()]
      .toReversed()
      .map(({ at, ...rest }) => ({ ...rest, msAgo: Math.round(now - at) }));
  }
}
