/**
 * Says what strangers make us say once per cause, then at most once a minute with the count:
 * who connects a thousand times does not write our log.
 */
import type { Level, Log } from './log.ts';

const QUIET_MS = 60_000;
/** Further causes share one line. */
const MAX_CAUSES = 32;
const OTHERS = 'others';

export class RepeatedLines {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #said = new Map<string, { at: number; more: number }>();

  /** @param now ms, monotonic */
  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** Texts that differ only in numbers and quoted words have the same cause. */
  say(level: Level, text: string): void {
    const cause = text.replace(/"[^"]*"|'[^']*'|\d+/g, '#');
    const known = this.#said.has(cause) || this.#said.size < MAX_CAUSES;
    const key = known ? cause : OTHERS;
    const last = this.#said.get(key);
    const now = this.#now();
    if (last !== undefined && now - last.at < QUIET_MS) {
      last.more += 1;
      return;
    }
    const more = last?.more ?? 0;
    this.#said.set(key, { at: now, more: 0 });
    this.#log(level, more === 0 ? text : `${text} (and ${more} more of this kind)`);
  }
}
