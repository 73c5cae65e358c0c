/**
 * Feeds what resets this node when it no longer can let go of its disks: systemd's watchdog, a file that
 * FreeBSD's watchdogd looks at, and as the last thing a program of the operator's. A main thread that
 * stands still feeds nobody; a group that cannot go down stops the feeding, where that is wanted.
 */
import { writeFile } from 'node:fs/promises';

import { execStep } from '../hooks/exec-step.ts';
import { runHook } from '../hooks/run.ts';
import { describeError } from '../model/errors.ts';
import { hookSucceeded } from '../model/hook.ts';
import { noteStruggles, resetReason, type Struggles, type WatchedGroup } from '../model/watchdog.ts';
import { hookOutputs } from './bind/hooks.ts';
import type { Runtime } from './runtime.ts';
import type { ServiceManager } from './service-manager.ts';

const EVERY_MS = 1000;

export interface WatchdogOptions {
  readonly runtime: Runtime;
  readonly manager: ServiceManager | null;
  readonly groups: () => readonly WatchedGroup[];
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #closing = new AbortController();
  #struggles: Struggles = {};
  #starved = false;
  #feeding = false;
  #trouble: string | null = null;
  #cancel: (() => void) | null = null;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  start(): void {
    this.#look();
  }

  close(): void {
    this.#closing.abort();
    this.#cancel?.();
  }

  #look(): void {
    const { runtime, manager, groups } = this.#options;
    const now = runtime.clock.now();
    const { stuckAfterMs } = runtime.settings.watchdog;
    this.#struggles = noteStruggles(this.#struggles, groups(), now);
    const reason = resetReason(this.#struggles, stuckAfterMs, now);
    if (reason === null) {
      this.#starved = false;
      if (!this.#feeding) void this.#feed();
    } else if (!this.#starved) {
      this.#starved = true;
      void this.#reset(reason);
    }
    const often = Math.min(EVERY_MS, (manager?.watchdogMs ?? Number.POSITIVE_INFINITY) / 3);
    this.#cancel = runtime.clock.after(often, () => {
      this.#look();
    });
  }

  async #feed(): Promise<void> {
    const { runtime, manager } = this.#options;
    const { file } = runtime.settings.watchdog;
    this.#feeding = true;
    try {
      if (manager !== null && manager.watchdogMs !== null) await manager.tell('WATCHDOG=1');
      if (file !== null) await writeFile(file, `${new Date().toISOString()}\n`, { mode: 0o644 });
      this.#say(null);
    } catch (error) {
      this.#say(`the watchdog cannot be fed and may reset this node: ${describeError(error)}`);
    } finally {
      this.#feeding = false;
    }
  }

  /** Said once, until it is something else. */
  #say(trouble: string | null): void {
    const { runtime } = this.#options;
    if (trouble === this.#trouble) return;
    if (this.#trouble !== null) runtime.warnings.delete(this.#trouble);
    this.#trouble = trouble;
    if (trouble === null) return;
    runtime.warnings.add(trouble);
    runtime.log('error', trouble);
  }

  async #reset(reason: string): Promise<void> {
    const { runtime } = this.#options;
    const { program } = runtime.settings.watchdog;
    runtime.journal.add({
      kind: 'watchdog.starved',
      level: 'error',
      message: `${reason}: the watchdog is fed no more and is to reset this node${program === null ? '' : `; running ${program}`}`,
    });
    if (program === null) return;
    try {
      const step = await execStep(program, 'reset', [runtime.node, reason]);
      const { signal } = this.#closing;
      const outcome = await runHook(step, { signal, outputDir: hookOutputs(runtime), log: runtime.log });
      if (!hookSucceeded(outcome)) runtime.log('error', `${program} ${outcome.failure ?? 'failed'}`);
    } catch (error) {
      runtime.log('error', `${program} could not be run: ${describeError(error)}`);
    }
  }
}
