/**
 * Makes certain that the other node is down: by the programs of `fence.d`, one after another until one
 * says so, or by a person's word. One at a time for the whole node, as it is one node that is fenced.
 * @see SAFETY F, DESIGN 6
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { discoverHooks } from '../../hooks/discover.ts';
import { pinHooks } from '../../hooks/pin.ts';
import { planFence } from '../../hooks/plan.ts';
import { runHook } from '../../hooks/run.ts';
import { describeError, HastateError } from '../../model/errors.ts';
import { hookSucceeded, type HookStep } from '../../model/hook.ts';
import type { Runtime } from '../runtime.ts';
import { hookOutputs, hooksDirectory } from './hooks.ts';

/** After a failure it is left alone for so long, then twice that. ms */
const AGAIN_MS = 5_000;
const MAX_AGAIN_MS = 60_000;

export interface FenceOptions {
  readonly runtime: Runtime;
  /** When the peer was last heard on any path, ms; null: never. */
  readonly lastHeard: () => number | null;
  /** From this time on it is certainly down, until it is heard again. ms */
  confirmed(at: number): void;
}

export interface FenceOrder {
  readonly why: string;
  /** The node that is to be fenced may be primary and fence us: it has the first shot. ms */
  readonly delayMs: number;
  /** An operator's order is not held back by earlier failures. */
  readonly now?: boolean;
}

export class Fence {
  readonly #options: FenceOptions;
  readonly #stopping = new AbortController();
  #at: number | null = null;
  #running: Promise<void> | null = null;
  /** Ends what a fencing waits for. */
  #asking: AbortController | null = null;
  #failed: { readonly text: string; readonly notBefore: number; readonly waitMs: number } | null = null;

  constructor(options: FenceOptions) {
    this.#options = options;
  }

  /** When the peer was last certainly down, ms; null: never. Counts only while it was not heard since. */
  get at(): number | null {
    return this.#at;
  }

  /**
   * Resolves when the peer is certainly down.
   * @throws HastateError `no-peer`, `peer-heard`, `fence-none`, `fence-failed`
   */
  run(order: FenceOrder): Promise<void> {
    if (this.#down()) return Promise.resolve();
    const failed = this.#failed;
    if (failed !== null && order.now !== true && this.#options.runtime.clock.now() < failed.notBefore)
      return Promise.reject(new HastateError('fence-failed', failed.text));
    this.#running ??= this.#fence(order).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** A person says that the peer is certainly off. In the journal for ever. @throws HastateError `peer-heard` */
  confirm(reason: string): void {
    const { runtime, lastHeard } = this.#options;
    const peer = this.#peer();
    const heard = lastHeard();
    const now = runtime.clock.now();
    if (heard !== null && now - heard < runtime.settings.timing.promotionDelayMs)
      throw new HastateError(
        'peer-heard',
        `${peer} was heard ${Math.round(now - heard)} ms ago, so it is not down: use 'hastate switchover', or switch it off first`,
      );
    this.#asking?.abort();
    this.#succeed('fence.confirmed', `an operator says that ${peer} is certainly down: ${reason}`);
  }

  close(): void {
    this.#stopping.abort();
  }

  #down(): boolean {
    return this.#at !== null && this.#at >= (this.#options.lastHeard() ?? Number.NEGATIVE_INFINITY);
  }

  #peer(): string {
    const peer = this.#options.runtime.settings.peer?.name;
    if (peer === undefined)
      throw new HastateError('no-peer', 'hastate.yaml names no other node: there is nobody to fence');
    return peer;
  }

  async #fence(order: FenceOrder): Promise<void> {
    const { runtime } = this.#options;
    const peer = this.#peer();
    this.#asking = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, this.#asking.signal]);
    const began = runtime.clock.now();
    // Ended early when a person is faster, or the daemon stops.
    await sleep(order.delayMs, undefined, { signal }).catch(() => undefined);
    try {
      await this.#shoot(peer, order, began, signal);
    } catch (error) {
      const heard = error instanceof HastateError && error.code === 'peer-heard';
      if (heard || this.#stopping.signal.aborted) throw error;
      const text = describeError(error);
      const waitMs = Math.min(MAX_AGAIN_MS, 2 * (this.#failed?.waitMs ?? AGAIN_MS / 2));
      this.#failed = { text, waitMs, notBefore: runtime.clock.now() + waitMs };
      runtime.journal.add({
        kind: 'fence.failed',
        level: 'error',
        message: `${peer} could not be fenced: ${text}; tried again in ${waitMs / 1000} s`,
      });
      throw error;
    }
  }

  /** Nobody is shot who is down already, or by an order of ours who is heard again. @throws HastateError */
  #isNeeded(peer: string, { now = false }: FenceOrder, began: number): boolean {
    this.#stopping.signal.throwIfAborted();
    if (this.#down()) return false;
    if (!now && (this.#options.lastHeard() ?? Number.NEGATIVE_INFINITY) > began)
      throw new HastateError('peer-heard', `${peer} is heard again: it is not fenced`);
    return true;
  }

  async #shoot(peer: string, order: FenceOrder, began: number, signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    if (!this.#isNeeded(peer, order, began)) return;
    const steps = await this.#plan(peer, order.why);
    runtime.journal.add({
      kind: 'fence.started',
      level: 'warn',
      message: `fencing ${peer} by ${steps.map(({ name }) => name).join(', ')}: ${order.why}`,
    });
    const failures: string[] = [];
    for (const step of steps) {
      if (!this.#isNeeded(peer, order, began)) return;
      const outcome = await runHook(step, { signal, outputDir: hookOutputs(runtime), log: runtime.log });
      // A person was faster.
      if (this.#down()) return;
      if (hookSucceeded(outcome)) {
        this.#succeed('fence.done', `${step.name} says that ${peer} is down (${outcome.durationMs} ms)`);
        return;
      }
      failures.push(`${step.name} ${outcome.failure ?? 'failed'}`);
    }
    throw new HastateError('fence-failed', failures.join('; '));
  }

  async #plan(peer: string, why: string): Promise<readonly HookStep[]> {
    const { runtime } = this.#options;
    const dir = hooksDirectory(runtime);
    const steps = planFence(await discoverHooks(dir, { only: 'fence' }), runtime.settings.fence.hooks, peer, {
      node: runtime.node,
      peer,
      devices: {},
      reason: why,
      epoch: 0,
      forced: false,
      stateDir: runtime.stateDir,
    });
    if (steps.length === 0)
      throw new HastateError(
        'fence-none',
        `there is no program in ${dir}/fence.d: put one there, or say that ${peer} is down: ` +
          `hastate fence ${peer} --confirm-down --reason TEXT`,
      );
    const into = join(runtime.stateDir, 'hooks-running', 'fence.d');
    await mkdir(into, { recursive: true, mode: 0o700 });
    await mkdir(hookOutputs(runtime), { recursive: true, mode: 0o700 });
    return pinHooks(steps, into);
  }

  #succeed(kind: string, message: string): void {
    const { runtime } = this.#options;
    this.#at = runtime.clock.now();
    this.#failed = null;
    runtime.journal.add({ kind, level: 'warn', message });
    this.#options.confirmed(this.#at);
  }
}
