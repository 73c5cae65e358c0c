/** Counts refused packets by reason and says the first of each kind, so that a flood fills no log. */
import type { NetLog } from './log.ts';

/** A reason that was told is told again only after a good packet and this much time. */
const SAY_AGAIN_MS = 60_000;

export class DropCounters {
  readonly #counts = new Map<string, number>();
  readonly #saidAt = new Map<string, number>();
  readonly #log: NetLog;
  readonly #where: string;

  /** @param where names the place in log lines, e.g. `carp vhid 1 on eth0` */
  constructor(where: string, log: NetLog) {
    this.#where = where;
    this.#log = log;
  }

  /**
   * Counts one.
   * @param detail reaches the log for the first of its reason; without it nothing is said
   * @param at ms, monotonic
   */
  drop(reason: string, detail?: string, at = performance.now()): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    if (detail === undefined || this.#saidAt.has(reason)) return;
    this.#saidAt.set(reason, at);
    this.#log('warn', `${this.#where}: dropped (${reason}): ${detail}; more of these are only counted`);
  }

  /** A good packet came: the next bad one is worth a line again. */
  recovered(at = performance.now()): void {
    for (const [reason, saidAt] of this.#saidAt) {
      if (at - saidAt >= SAY_AGAIN_MS) this.#saidAt.delete(reason);
    }
  }

  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
