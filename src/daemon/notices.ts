/**
 * Tells the operator's programs what happens to a resource: `exec` of hast.conf with hastd's arguments,
 * then the hooks of `notify.d`. In order and one at a time for each resource; nothing waits for them.
 * @see protocols: hast section 8
 */
import { discoverHooks } from '../hooks/discover.ts';
import { EventQueue } from '../hooks/event-queue.ts';
import { execStep } from '../hooks/exec-step.ts';
import { planNotify } from '../hooks/plan.ts';
import { runHook } from '../hooks/run.ts';
import { describeError } from '../model/errors.ts';
import { hookSucceeded, type HookStep } from '../model/hook.ts';
import type { JournalEvent } from '../protocol/control.ts';
import type { Runtime } from './runtime.ts';

const MAX_WAITING = 64;
/** As nice(1): a failover is not to wait for processors with the programs that tell of it. */
const NICE = 10;
/** What the last events get when the daemon stops. ms */
const LAST_WORDS_MS = 10_000;
const LAST_LINES = 500;

/** One event with hastd's name and arguments. */
export interface Notice {
  readonly event: string;
  /** The resource, then what belongs to the event. */
  readonly args: readonly [resource: string, ...rest: string[]];
  readonly reason: string;
}

/** With the program that hast.conf names when it happens. */
type Told = Notice & { readonly exec: string | null };

/** hastd tells of a synchronization at the primary only. */
const OF_PRIMARY: Readonly<Record<string, string>> = {
  'engine.sync-started': 'syncstart',
  'engine.sync-done': 'syncdone',
  'engine.sync-interrupted': 'syncintr',
};
const OF_BOTH: Readonly<Record<string, string>> = {
  'engine.connected': 'connect',
  'engine.disconnected': 'disconnect',
};
const ROLES: readonly string[] = ['init', 'secondary', 'primary'];

/** Finds hastd's events in the journal. Its state: the role of each resource that was told last. */
export class NoticeSource {
  readonly #roles = new Map<string, string>();
  /** Told and not connected since. */
  readonly #split = new Set<string>();

  take(entry: Pick<JournalEvent, 'kind' | 'message' | 'resource' | 'data'>): Notice | null {
    const { kind, resource, message } = entry;
    if (resource === undefined) return null;
    const notice = (event: string, ...rest: string[]): Notice => ({
      event,
      args: [resource, ...rest],
      reason: message,
    });
    if (kind === 'resource.state') {
      const after = settled(entry.data?.['value']);
      const before = this.#roles.get(resource) ?? 'init';
      if (after === null || after === before) return null;
      this.#roles.set(resource, after);
      return notice('role', before, after);
    }
    if (kind === 'engine.split-brain' || kind === 'record.split-brain') {
      // Seen on the data link and on the peer channel it is still one.
      if (this.#split.has(resource)) return null;
      this.#split.add(resource);
      return notice('split-brain');
    }
    if (kind === 'engine.connected') this.#split.delete(resource);
    const always = OF_BOTH[kind];
    if (always !== undefined) return notice(always);
    const primary = OF_PRIMARY[kind];
    return primary !== undefined && this.#roles.get(resource) === 'primary' ? notice(primary) : null;
  }
}

/** The role that a state of the resource's chart is, or null on the way between two. */
function settled(value: unknown): string | null {
  const state = typeof value === 'object' && value !== null ? (Object.keys(value)[0] ?? '') : String(value);
  return ROLES.includes(state) ? state : null;
}

export interface NoticesOptions {
  readonly runtime: Pick<Runtime, 'node' | 'hast' | 'settings' | 'stateDir' | 'journal' | 'log'>;
  readonly hooksDir: () => string;
  readonly outputDir: string;
}

export class Notices {
  readonly #options: NoticesOptions;
  readonly #source = new NoticeSource();
  readonly #queues = new Map<string, EventQueue<Told>>();
  readonly #ending = new AbortController();
  readonly #unfollow: () => void;
  /** Told once, until it is something else. */
  readonly #refused = new Map<string, string>();

  constructor(options: NoticesOptions) {
    this.#options = options;
    this.#unfollow = options.runtime.journal.follow((entry) => {
      const notice = this.#source.take(entry);
      if (notice === null) return;
      const [resource] = notice.args;
      const { resources } = options.runtime.hast;
      const exec = resources.find(({ name }) => name === resource)?.exec ?? null;
      this.#queue(resource).add({ ...notice, exec });
    });
  }

  /** Gives what waits its last moment, then ends what runs. */
  async close(): Promise<void> {
    this.#unfollow();
    const queues = [...this.#queues.values()];
    const timer = setTimeout(() => {
      for (const queue of queues) queue.clear();
      this.#ending.abort();
    }, LAST_WORDS_MS);
    await Promise.all(queues.map((queue) => queue.idle()));
    clearTimeout(timer);
  }

  #queue(resource: string): EventQueue<Told> {
    let queue = this.#queues.get(resource);
    if (queue === undefined) {
      queue = new EventQueue({
        run: (notice) => this.#tell(notice),
        onDropped: ({ event, args }) => {
          this.#options.runtime.journal.add({
            kind: 'exec.dropped',
            level: 'error',
            resource,
            message: `${resource}: nobody was told of '${event} ${args.join(' ')}': ${MAX_WAITING} later events wait for a program that is slow`,
          });
        },
        maxWaiting: MAX_WAITING,
      });
      this.#queues.set(resource, queue);
    }
    return queue;
  }

  async #tell({ exec, ...notice }: Told): Promise<void> {
    const [resource] = notice.args;
    if (exec !== null) {
      const step = await this.#prepared(resource, 'exec', () => execStep(exec, notice.event, notice.args));
      if (step !== null) await this.#run(step, resource, `exec ${exec}`);
    }
    const steps = await this.#prepared(resource, 'notify.d', () => this.#notifySteps(notice));
    for (const step of steps ?? []) await this.#run(step, resource, `notify.d/${step.name}`);
  }

  async #notifySteps(notice: Notice): Promise<HookStep[]> {
    const { runtime, hooksDir } = this.#options;
    const [resource] = notice.args;
    const found = await discoverHooks(hooksDir(), { only: 'notify' });
    const steps = planNotify(found, notice.event, notice.args, {
      node: runtime.node,
      peer: runtime.settings.peer?.name ?? null,
      devices: {},
      reason: notice.reason,
      epoch: 0,
      forced: false,
      stateDir: runtime.stateDir,
    });
    for (const { path, reason } of found.refused)
      this.#refuse(resource, path, `${path} may not run: ${reason}`);
    // The same hook may run for several resources at once, each with an output of its own.
    return steps.map((step) => ({ ...step, group: `notify.${resource}` }));
  }

  async #prepared<T>(resource: string, what: string, prepare: () => Promise<T>): Promise<T | null> {
    try {
      return await prepare();
    } catch (error) {
      this.#refuse(resource, what, `${what} cannot be run: ${describeError(error)}`);
      return null;
    }
  }

  #refuse(resource: string, what: string, message: string): void {
    const place = `${resource} ${what}`;
    if (this.#refused.get(place) === message) return;
    this.#refused.set(place, message);
    const { journal } = this.#options.runtime;
    journal.add({ kind: 'exec.refused', level: 'error', resource, message: `${resource}: ${message}` });
  }

  async #run(step: HookStep, resource: string, what: string): Promise<void> {
    const { runtime, outputDir } = this.#options;
    const call = `${what} ${[step.verb, ...step.args].join(' ')}`;
    try {
      const outcome = await runHook(step, {
        signal: this.#ending.signal,
        outputDir,
        log: runtime.log,
        nice: NICE,
      });
      const ok = hookSucceeded(outcome);
      const took = `${outcome.durationMs} ms`;
      const printed = outcome.output.trim().slice(-LAST_LINES);
      const end = ok ? `done in ${took}` : `${outcome.failure ?? 'failed'} (${took})`;
      runtime.journal.add({
        kind: 'exec.exited',
        level: ok ? 'info' : 'error',
        resource,
        message: `${resource}: ${call}: ${end}${ok || printed === '' || end.includes(printed) ? '' : `: ${printed}`}`,
        data: { ...outcome, path: step.path, event: step.verb, args: step.args },
      });
    } catch (error) {
      runtime.journal.add({
        kind: 'exec.exited',
        level: 'error',
        resource,
        message: `${resource}: ${call}: ${describeError(error)}`,
      });
    }
  }
}
