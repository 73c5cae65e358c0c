/**
 * Whether this node reaches a majority of its references. Hints, no quorum: a minority keeps a standby
 * from taking over and makes a primary that also lost its peer step down. @see SAFETY B8
 */
import { countReachable } from '../../net/references.ts';
import type { Runtime } from '../runtime.ts';

const EVERY_MS = 1000;
/** One lost ping is no cut cable. */
const LOST_AFTER_MS = 2500;

export class References {
  readonly #runtime: Runtime;
  readonly #stopping = new AbortController();
  #reached = 0;
  /** When the look began that `reached` is from. ms */
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking = false;
  #minoritySince: number | null = null;
  #cancel: (() => void) | null = null;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Of the configured ones, at the last look. */
  get reached(): number {
    return this.#reached;
  }

  /**
   * How many answered after `at` (ms): an answer from before the peer fell silent says nothing about the
   * cause. 0 until a look that began later is over; the first question starts one.
   */
  reachedSince(at: number): number {
    if (this.#lookedAt >= at) return this.#reached;
    this.start();
    return 0;
  }

  /** No majority for long enough to call this node cut off. */
  get lost(): boolean {
    return this.#minoritySince !== null && this.#runtime.clock.now() - this.#minoritySince >= LOST_AFTER_MS;
  }

  /** Looks now, then again and again. */
  start(): void {
    if (this.#runtime.settings.references.length > 0 && !this.#looking) void this.#look();
  }

  async #look(): Promise<void> {
    const { clock, settings } = this.#runtime;
    const { references } = settings;
    this.#cancel?.();
    if (references.length === 0) {
      // A reload took them away: who has none is never cut off.
      this.#reached = 0;
      this.#minoritySince = null;
      return;
    }
    this.#looking = true;
    const beganAt = clock.now();
    const reached = await countReachable(references, this.#stopping.signal);
    this.#looking = false;
    if (this.#stopping.signal.aborted) return;
    this.#reached = reached;
    this.#lookedAt = beganAt;
    if (reached * 2 > references.length) this.#minoritySince = null;
    else this.#minoritySince ??= clock.now();
    this.#cancel = clock.after(EVERY_MS, () => void this.#look());
  }

  close(): void {
    this.#stopping.abort();
    this.#cancel?.();
  }
}
