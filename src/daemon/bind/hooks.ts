/** Runs a group's hooks, one at a time, and keeps what they did in the journal. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { fromPromise, toPromise } from 'xstate';

import type { HooksResult } from '../../../machines/group.ts';
import { hookRunMachine } from '../../../machines/hook-run.ts';
import { defaultHooksDir, discoverHooks } from '../../hooks/discover.ts';
import { boundOutputs } from '../../hooks/output-file.ts';
import { pinHooks } from '../../hooks/pin.ts';
import { type HookContext, HookPlanError, planHooks } from '../../hooks/plan.ts';
import type { HookRun } from '../../hooks/process-group.ts';
import { runHook } from '../../hooks/run.ts';
import { Survivors } from '../../hooks/survivors.ts';
import { Turns } from '../../hooks/turns.ts';
import { describeError, HookError } from '../../model/errors.ts';
import { hookSucceeded, type HookOutcome, type HookStep } from '../../model/hook.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { Runtime } from '../runtime.ts';
import { runChart } from './actors.ts';
import type { HookCall } from './group-services.ts';
import type { Member } from './members.ts';

/** For what survived SIGKILL to go, before a transition gives up on it. ms */
const SURVIVOR_MS = 2000;

/** Where hooks are. */
export function hooksDirectory({ settings }: Pick<Runtime, 'settings'>): string {
  return settings.hooksDir ?? defaultHooksDir();
}

/** Where what they print goes. */
export function hookOutputs({ stateDir }: Runtime): string {
  return join(stateDir, 'hooks');
}

export class GroupHooks {
  readonly #runtime: Runtime;
  readonly #devicePath: (resource: string) => string | null;
  readonly #stopping: AbortSignal;
  readonly #turns = new Turns();
  readonly #survivors = new Survivors();

  constructor(runtime: Runtime, devicePath: (resource: string) => string | null, stopping: AbortSignal) {
    this.#runtime = runtime;
    this.#devicePath = devicePath;
    this.#stopping = stopping;
  }

  get #outputDir(): string {
    return hookOutputs(this.#runtime);
  }

  /** A service that keeps its hook's output open writes on: now and then its file is cut back. */
  async boundOutputs(): Promise<void> {
    for (const path of await boundOutputs(this.#outputDir)) {
      this.#runtime.log(
        'warn',
        `${path} grew too long and was cut: a service started by a hook prints there`,
      );
    }
  }

  /** C2: resolves with what `work` makes once no other hook of the group runs. */
  turn<T>(group: string, work: () => Promise<T>): Promise<T> {
    return this.#turns.take(group, work);
  }

  /** Never rejects for what a hook does: the result says it. A hook that may not run fails a `start`. */
  run(
    group: GroupSettings,
    members: readonly Member[],
    verb: 'start' | 'stop',
    call: HookCall,
  ): Promise<HooksResult> {
    return this.turn(group.name, () => this.#transition(group, members, verb, call));
  }

  async #transition(
    group: GroupSettings,
    members: readonly Member[],
    verb: 'start' | 'stop',
    call: HookCall,
  ): Promise<HooksResult> {
    if (Object.keys(group.hooks).length === 0) return { ok: true, stuck: false, summary: 'no hooks' };
    const survivor = await this.inTheWay(group.name, SURVIVOR_MS);
    if (survivor !== null) {
      const message = `${group.name}: no hook is run with '${verb}': ${survivor}`;
      this.#runtime.journal.add({ kind: 'hook.stuck', level: 'error', group: group.name, message });
      return { ok: false, stuck: true, summary: survivor };
    }
    await mkdir(this.#outputDir, { recursive: true, mode: 0o700 });
    const { steps, problem } = await this.#plan(group, members, verb, call);
    if (problem !== null && verb === 'start') return { ok: false, stuck: false, summary: problem };
    const id = `hook-run.${group.name}`;
    const actor = runChart(this.#runtime, {
      id,
      name: 'hook-run',
      machine: hookRunMachine.provide({
        actors: { runHook: fromPromise(({ input }) => this.#runOne(group, input)) },
      }),
      input: { verb, steps },
      about: { group: group.name },
    });
    const output = await toPromise(actor);
    if (problem === null) return { ok: output.ok, stuck: output.stuck, summary: output.summary };
    return { ok: false, stuck: output.stuck, summary: `${problem}; ${output.summary}` };
  }

  async #plan(
    group: GroupSettings,
    members: readonly Member[],
    verb: 'start' | 'stop',
    call: HookCall,
  ): Promise<{ steps: readonly HookStep[]; problem: string | null }> {
    const runtime = this.#runtime;
    try {
      const discovered = await discoverHooks(hooksDirectory(runtime), { only: 'hooks' });
      const steps = planHooks(group, discovered, verb, this.context(members, call));
      // A copy for this transition: what is edited meanwhile applies to the next one.
      return { steps: await this.pin(steps, 'hooks-running', group), problem: null };
    } catch (error) {
      runtime.journal.add({
        kind: 'hook.refused',
        level: 'error',
        group: group.name,
        message: describeError(error),
      });
      return { steps: error instanceof HookPlanError ? error.steps : [], problem: describeError(error) };
    }
  }

  context(members: readonly Member[], call: HookCall): HookContext {
    const runtime = this.#runtime;
    const devices = members.flatMap(({ settings }) => {
      const path = this.#devicePath(settings.name);
      return path === null ? [] : [[settings.name, path] as const];
    });
    return {
      node: runtime.node,
      peer: runtime.settings.peer?.name ?? null,
      devices: Object.fromEntries(devices),
      reason: call.reason,
      epoch: call.epoch?.number ?? 0,
      forced: call.forced,
      stateDir: runtime.stateDir,
    };
  }

  /** Copies below the state directory, in a place for `use` that is emptied first. @throws HookError */
  async pin(steps: readonly HookStep[], use: string, group: GroupSettings): Promise<HookStep[]> {
    const into = join(this.#runtime.stateDir, use, group.name);
    await mkdir(into, { recursive: true, mode: 0o700 });
    return pinHooks(steps, into);
  }

  /** To be called in the group's turn. @param onLeft something of it survives even KILL */
  runStep(step: HookStep, signal: AbortSignal, onLeft?: (run: HookRun) => void): Promise<HookOutcome> {
    return runHook(step, {
      signal: AbortSignal.any([signal, this.#stopping]),
      outputDir: this.#outputDir,
      log: this.#runtime.log,
      onLeft: (run) => {
        this.#survivors.add(step, run);
        onLeft?.(run);
      },
    });
  }

  /** C2: why none of the group's hooks may start although its turn has come, or null. ms */
  inTheWay(group: string, ms: number): Promise<string | null> {
    return this.#survivors.inTheWay(group, ms);
  }

  async #runOne(group: GroupSettings, step: HookStep | undefined): Promise<HookOutcome> {
    if (step === undefined) throw new HookError('hook-none', 'there is no hook left to run');
    return this.runNoted(group, step, this.#stopping);
  }

  /** As runStep(), and what came of it is in the journal. */
  async runNoted(group: GroupSettings, step: HookStep, signal: AbortSignal): Promise<HookOutcome> {
    const outcome = await this.runStep(step, signal);
    const ok = hookSucceeded(outcome);
    const took = `${Math.round(outcome.durationMs)} ms`;
    const end = ok ? `done in ${took}` : `${outcome.failure ?? 'failed'} (${took})`;
    const printed = outcome.output.trim().slice(-500);
    this.#runtime.journal.add({
      kind: 'hook.exited',
      level: ok ? 'info' : 'error',
      group: group.name,
      message:
        `${group.name}: ${step.name} ${step.verb} ${end}` +
        (ok || end.includes(printed) ? '' : `: ${printed}`),
      data: { ...outcome, hook: step.name, verb: step.verb },
    });
    return outcome;
  }
}
