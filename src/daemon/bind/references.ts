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
  #minoritySince: number | null = null;
  #cancel: (() => void) | null = null;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Of the configured ones, at the last look. */
  get reached(): number {
    return this.#reached;
  }

  /** No majority for long enough to call this node cut off. */
  get lost(): boolean {
    return this.#minoritySince !== null && this.#runtime.clock.now() - this.#minoritySince >= LOST_AFTER_MS;
  }

  start(): void {
    if (this.#runtime.settings.references.length > 0) void this.#look();
  }

  async #look(): Promise<void> {
    const { references } = this.#runtime.settings;
    this.#reached = await countReachable(references, this.#stopping.signal);
    if (this.#stopping.signal.aborted) return;
    if (this.#reached * 2 > references.length) this.#minoritySince = null;
    else this.#minoritySince ??= this.#runtime.clock.now();
    this.#cancel = this.#runtime.clock.after(EVERY_MS, () => void this.#look());
  }

  close(): void {
    this.#stopping.abort();
    this.#cancel?.();
  }
}
