/**
 * Watches the services of the groups that are primary here: one chart for each hook that is asked for
 * its status. They end before anything else of the group goes down. @see SAFETY C2, C5
 */
import { type Actor, fromPromise } from 'xstate';

import { type ServiceLook, type ServiceRestart, serviceMachine } from '../../../machines/service.ts';
import { discoverHooks } from '../../hooks/discover.ts';
import { planHooks } from '../../hooks/plan.ts';
import { membersOf, type HookRun } from '../../hooks/process-group.ts';
import { describeError } from '../../model/errors.ts';
import { hookSucceeded, type HookStep, serviceState } from '../../model/hook.ts';
import type { MonitorSettings } from '../../model/monitor.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { JournalEntry } from '../journal.ts';
import type { Runtime } from '../runtime.ts';
import { runChart } from './actors.ts';
import type { HookCall } from './group-services.ts';
import { type GroupHooks, hooksDirectory } from './hooks.ts';
import type { Member } from './members.ts';

export interface ServiceWatchesOptions {
  readonly runtime: Runtime;
  readonly hooks: GroupHooks;
  /** Hands the group over to the other node. Rejects with why it stays. */
  leave(group: string, why: string): Promise<void>;
}

/** What is run for one service: copies made when the watch began, as the transition's are. */
interface WatchedSteps {
  readonly status: HookStep;
  readonly stop: HookStep | undefined;
  readonly start: HookStep | undefined;
}

/** The watches of one group during one time as primary. */
interface Watch {
  readonly ending: AbortController;
  readonly actors: Actor<typeof serviceMachine>[];
}

export class ServiceWatches {
  readonly #options: ServiceWatchesOptions;
  readonly #watches = new Map<string, Watch>();
  /** Charts of the services that are not well. */
  readonly #failed = new Set<string>();
  /** What `status` says of a chart. */
  readonly #warnings = new Map<string, string>();

  constructor(options: ServiceWatchesOptions) {
    this.#options = options;
  }

  /** The group serves: its services are watched until `end`. Returns at once; what cannot be watched is told. */
  begin(group: GroupSettings, members: readonly Member[], call: HookCall): void {
    this.end(group.name);
    const wanted = monitored(group);
    if (wanted.size === 0) return;
    const watch: Watch = { ending: new AbortController(), actors: [] };
    this.#watches.set(group.name, watch);
    void this.#begin(watch, group, wanted, members, call).catch((error: unknown) => {
      this.#tell(
        group,
        'service.unwatched',
        'error',
        `its services are not watched: ${describeError(error)}`,
      );
    });
  }

  /** Ends what runs of it; the group's next hook waits for that. */
  end(group: string): void {
    const { runtime } = this.#options;
    const watch = this.#watches.get(group);
    if (watch === undefined) return;
    this.#watches.delete(group);
    watch.ending.abort();
    for (const actor of watch.actors) {
      actor.stop();
      const chart = chartOf(group, actor.getSnapshot().context.hook);
      runtime.charts.forget(chart);
      runtime.warnings.delete(this.#warnings.get(chart) ?? '');
      this.#warnings.delete(chart);
      this.#failed.delete(chart);
    }
  }

  close(): void {
    for (const group of [...this.#watches.keys()]) this.end(group);
  }

  async #begin(
    watch: Watch,
    group: GroupSettings,
    wanted: ReadonlyMap<string, MonitorSettings>,
    members: readonly Member[],
    call: HookCall,
  ): Promise<void> {
    const { runtime, hooks } = this.#options;
    const discovered = await discoverHooks(hooksDirectory(runtime), { only: 'hooks' });
    const declares = (name: string): boolean => {
      const header = discovered.hooks.find((hook) => hook.name === name)?.header;
      return header?.declared === true && header.verbs.includes('status');
    };
    for (const name of wanted.keys()) {
      if (declares(name) || !(name in group.monitor.hooks)) continue;
      const message = `${name} is not watched: it does not declare that it knows 'status'; add '# hastate: verbs=start,stop,status' to it`;
      this.#tell(group, 'service.unwatched', 'warn', message);
    }
    const names = [...wanted.keys()].filter(declares);
    const context = hooks.context(members, call);
    const planned = (['status', 'stop', 'start'] as const).flatMap((verb) =>
      planHooks(group, discovered, verb, context).filter(({ name }) => names.includes(name)),
    );
    const steps = await hooks.pin(planned, 'hooks-watched', group);
    for (const name of names) {
      const of = (verb: string): HookStep | undefined =>
        steps.find((step) => step.name === name && step.verb === verb);
      const status = of('status');
      const settings = wanted.get(name);
      if (status === undefined || settings === undefined || watch.ending.signal.aborted) continue;
      const limited = { ...status, timeoutMs: Math.min(status.timeoutMs, settings.timeoutMs), retries: 0 };
      const own: WatchedSteps = { status: limited, stop: of('stop'), start: of('start') };
      watch.actors.push(this.#watch(watch, group, name, settings, own));
    }
  }

  #watch(
    { ending: { signal } }: Watch,
    group: GroupSettings,
    hook: string,
    settings: MonitorSettings,
    steps: WatchedSteps,
  ): Actor<typeof serviceMachine> {
    const { runtime, hooks } = this.#options;
    const left: { run: HookRun | null } = { run: null };
    return runChart(runtime, {
      id: chartOf(group.name, hook),
      name: 'service',
      about: { group: group.name },
      input: { group: group.name, hook, settings },
      calm: true,
      describe: ({ context }) => context.error ?? '',
      onChange: ({ context, value }) => {
        this.#noteWell(group, hook, context.record.well, context.error);
        if (value === 'restarting')
          this.#tell(
            group,
            'service.restarting',
            'warn',
            `${hook} failed and is restarted: ${context.error ?? ''}`,
          );
      },
      machine: serviceMachine.provide({
        actors: {
          lookAtService: fromPromise(() =>
            hooks.turn(group.name, () => this.#look(steps.status, signal, left)),
          ),
          restartService: fromPromise(() =>
            hooks.turn(group.name, () => this.#restart(group, steps, signal)),
          ),
          leaveNode: fromPromise(async ({ input }) => {
            await this.#options.leave(input.group, `its service ${input.hook} failed: ${input.why}`);
            return undefined;
          }),
        },
        actions: {
          reportStays: (_, { error }) => {
            this.#stays(group, hook, describeError(error));
          },
        },
      }),
    });
  }

  async #look(step: HookStep, signal: AbortSignal, left: { run: HookRun | null }): Promise<ServiceLook> {
    const { runtime, hooks } = this.#options;
    const at = (): number => runtime.clock.now();
    if (runtime.holds.of(step.group)?.code === 'maintenance')
      return { running: true, why: 'it is in maintenance and not looked at', at: at() };
    // C2: a look that hangs for good is not joined by another one.
    if (left.run !== null && (await membersOf(left.run).catch(() => [0])).length > 0)
      return { running: false, why: `its last ${step.verb} hangs and survives even SIGKILL`, at: at() };
    left.run = null;
    const outcome = await hooks.runStep(step, signal, (run) => {
      left.run = run;
    });
    const state = serviceState(outcome);
    const why = state === 'stopped' ? 'it is not running' : `status ${outcome.failure ?? 'failed'}`;
    return { running: state === 'running', why, at: at() };
  }

  async #restart(group: GroupSettings, steps: WatchedSteps, signal: AbortSignal): Promise<ServiceRestart> {
    for (const step of [steps.stop, steps.start]) {
      if (step === undefined) continue;
      const survivor = await this.#options.hooks.inTheWay(group.name, 0);
      if (survivor !== null) return { ok: false, summary: survivor };
      const outcome = await this.#options.hooks.runNoted(group, step, signal);
      if (!hookSucceeded(outcome))
        return { ok: false, summary: `hook ${step.name} ${step.verb} ${outcome.failure ?? 'failed'}` };
    }
    return { ok: true, summary: 'restarted' };
  }

  #noteWell(group: GroupSettings, hook: string, well: boolean, error: string | null): void {
    const chart = chartOf(group.name, hook);
    if (this.#failed.has(chart) !== well) return;
    if (well) {
      this.#failed.delete(chart);
      this.#stays(group, hook, null);
      this.#tell(group, 'service.well', 'info', `${hook} runs again`);
    } else {
      this.#failed.add(chart);
      this.#tell(group, 'service.failed', 'error', `${hook} failed: ${error ?? 'unknown'}`);
    }
  }

  /** @param why it cannot move, or null when nothing is to be said any more */
  #stays(group: GroupSettings, hook: string, why: string | null): void {
    const { warnings } = this.#options.runtime;
    const chart = chartOf(group.name, hook);
    warnings.delete(this.#warnings.get(chart) ?? '');
    this.#warnings.delete(chart);
    if (why === null) return;
    const text = `service ${hook} failed and the group stays here: ${why}`;
    this.#warnings.set(chart, `${group.name}: ${text}`);
    warnings.add(`${group.name}: ${text}`);
    this.#tell(group, 'service.stays', 'error', text);
  }

  #tell(group: GroupSettings, kind: string, level: JournalEntry['level'], text: string): void {
    const message = `${group.name}: ${text}`;
    this.#options.runtime.journal.add({ kind, level, group: group.name, message });
  }
}

function chartOf(group: string, hook: string): string {
  return `service.${group}.${hook}`;
}

/** The hooks of a group that are to be watched; whether they can be is seen when they are read. */
function monitored({ hooks, monitor }: GroupSettings): Map<string, MonitorSettings> {
  const wanted = new Map<string, MonitorSettings>();
  for (const hook of Object.keys(hooks)) {
    const own = monitor.hooks[hook];
    const settings = own === undefined ? monitor.usual : own;
    if (settings !== null) wanted.set(hook, settings);
  }
  return wanted;
}
