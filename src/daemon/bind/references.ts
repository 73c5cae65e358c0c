/**
 * Whether this node reaches a majority of its references. Hints, no quorum: a minority keeps a standby
 * from taking over, keeps a primary that lost its peer from going on alone, and makes it step down.
 * @see SAFETY B8
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { countReachable, PROBE_MS } from '../../net/references.ts';
import type { Runtime } from '../runtime.ts';

const EVERY_MS = 1000;
/** One lost ping is no cut cable. */
const LOST_AFTER_MS = 2500;
const MIN_PROBE_MS = 100;
/** A second question this much later makes up for one lost packet. ms */
const AGAIN_AFTER_MS = 50;

export class References {
  readonly #runtime: Runtime;
  readonly #answered: (askedAt: number) => void;
  readonly #stopping = new AbortController();
  #reached = 0;
  /** When the look began that `reached` is from. ms */
  #lookedAt = Number.NEGATIVE_INFINITY;
  #look: { readonly beganAt: number; readonly end: AbortController } | null = null;
  #minoritySince: number | null = null;
  #cancel: (() => void) | null = null;

  /** @param answered a majority answered what was asked then, ms */
  constructor(runtime: Runtime, answered: (askedAt: number) => void) {
    this.#runtime = runtime;
    this.#answered = answered;
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

  /** A look that began after `at` (ms) is over and found no majority. */
  lostSince(at: number): boolean {
    return this.#minoritySince !== null && this.#lookedAt >= at;
  }

  /** Looks now, then again and again. */
  start(): void {
    if (this.#look === null) void this.#begin(PROBE_MS);
  }

  /** The peer is not heard any more since `at` (ms): what was seen before says nothing, and there is no time to lose. */
  hurry(at: number): void {
    const { heartbeatMs, promotionDelayMs } = this.#runtime.settings.timing;
    if (this.#lookedAt >= at || (this.#look !== null && this.#look.beganAt >= at)) return;
    void this.#begin(Math.max(MIN_PROBE_MS, promotionDelayMs - 2 * heartbeatMs - AGAIN_AFTER_MS));
  }

  /** A look that is on its way is given up for this one. */
  async #begin(probeMs: number): Promise<void> {
    const { clock, settings } = this.#runtime;
    const { references } = settings;
    this.#cancel?.();
    this.#look?.end.abort();
    this.#look = null;
    if (references.length === 0) {
      // A reload took them away: who has none is never cut off.
      this.#reached = 0;
      this.#minoritySince = null;
      return;
    }
    const look = { beganAt: clock.now(), end: new AbortController() };
    this.#look = look;
    const signal = AbortSignal.any([look.end.signal, this.#stopping.signal]);
    const reached = await this.#ask(references, signal, probeMs);
    if (signal.aborted) return;
    look.end.abort();
    this.#look = null;
    this.#reached = reached;
    this.#lookedAt = look.beganAt;
    if (reached * 2 > references.length) {
      this.#minoritySince = null;
      this.#answered(look.beganAt);
    } else this.#minoritySince ??= clock.now();
    this.#cancel = clock.after(EVERY_MS, () => void this.#begin(PROBE_MS));
  }

  /** Who is in a hurry asks twice, so that one lost packet is not taken for a cut cable. */
  async #ask(references: readonly string[], signal: AbortSignal, probeMs: number): Promise<number> {
    const again =
      probeMs < PROBE_MS
        ? sleep(AGAIN_AFTER_MS, undefined, { signal }).then(
            () => countReachable(references, signal, probeMs),
            () => 0,
          )
        : 0;
    const once = await countReachable(references, signal, probeMs);
    return once * 2 > references.length ? once : Math.max(once, await again);
  }

  close(): void {
    this.#stopping.abort();
    this.#cancel?.();
  }
}
