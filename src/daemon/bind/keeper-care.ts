/** The node's keeper: started, fed with what is to be cleaned up, and listened to. @see SAFETY D2 */
import { fileURLToPath } from 'node:url';

import type { CleanupAction } from '../../device/cleanup.ts';
import { type KeeperHandle, startKeeper } from '../../keeper/handle.ts';
import { describeError } from '../../model/errors.ts';
import type { Runtime } from '../runtime.ts';

const ENTRY = fileURLToPath(new URL('../../keeper/main.js', import.meta.url));
const STALL_MS = 2000;
/** How often beat() is to be called. */
export const KEEPER_BEAT_MS = 250;

export class KeeperCare {
  readonly #runtime: Runtime;
  readonly #onCleaned: () => void;
  #keeper: KeeperHandle | null = null;
  #leaving = false;

  /** @param onCleaned this daemon was frozen so long that the keeper took address and devices away */
  constructor(runtime: Runtime, onCleaned: () => void) {
    this.#runtime = runtime;
    this.#onCleaned = onCleaned;
  }

  /** Never rejects: a node without a keeper works, and says what that costs. */
  async start(): Promise<void> {
    try {
      this.#keeper = await startKeeper({ entry: ENTRY, stallMs: STALL_MS });
    } catch (error) {
      const without = `no keeper (${describeError(error)}): if this daemon dies, its address and devices stay`;
      this.#runtime.warnings.add(without);
      this.#runtime.journal.add({ kind: 'keeper.died', level: 'error', message: without });
      return;
    }
    this.#keeper.onExit((reason) => {
      this.#ended(reason);
    });
    this.#keeper.onCleaned(() => {
      this.#runtime.journal.add({
        kind: 'keeper.cleaned',
        level: 'error',
        message:
          'this daemon stood still: the keeper removed its addresses and aborted its devices; the groups go down in order',
      });
      this.#onCleaned();
    });
  }

  #ended(reason: string): void {
    if (this.#leaving) return;
    this.#keeper = null;
    this.#runtime.warnings.add('the keeper ended: if this daemon dies, its address and devices stay');
    this.#runtime.journal.add({
      kind: 'keeper.died',
      level: 'error',
      message: `the keeper ended (${reason}): restart hastated soon, nothing cleans up after it now`,
    });
  }

  /** What is to be removed when this daemon dies; replaces what was said before. */
  tell(actions: readonly CleanupAction[]): void {
    this.#keeper?.set(actions);
  }

  beat(): void {
    this.#keeper?.beat();
  }

  /** The node stops: the end of the keeper is no news from here on. */
  leave(): void {
    this.#leaving = true;
  }

  async bye(): Promise<void> {
    this.leave();
    await this.#keeper?.bye();
  }
}
