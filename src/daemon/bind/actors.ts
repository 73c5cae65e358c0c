/** How the daemon runs a chart: registered for the page, its changes in the journal. */
import {
  type Actor,
  type AnyStateMachine,
  createActor,
  fromPromise,
  type InputFrom,
  type InspectionEvent,
  type SnapshotFrom,
  waitFor,
} from 'xstate';

import { describeError, HastateError } from '../../model/errors.ts';
import type { JournalEntry } from '../journal.ts';
import { dotted, type Runtime } from '../runtime.ts';

export interface ChartOptions<Machine extends AnyStateMachine> {
  readonly id: string;
  /** Name of the definition, as the page knows it. */
  readonly name: string;
  readonly machine: Machine;
  readonly input: InputFrom<Machine>;
  readonly about: Pick<JournalEntry, 'group' | 'resource'>;
  /** What to add to the line about a change, e.g. the reason. */
  readonly describe?: (snapshot: SnapshotFrom<Machine>) => string;
  readonly onChange?: (snapshot: SnapshotFrom<Machine>) => void;
  /** Going to and fro between two states all the time is its work: the journal is told once. */
  readonly calm?: boolean;
}

/** Creates and starts the actor. A chart that fails is an error in the journal, never a dead daemon. */
export function runChart<Machine extends AnyStateMachine>(
  runtime: Runtime,
  options: ChartOptions<Machine>,
): Actor<Machine> {
  let lastEvent = 'start';
  let lines: readonly string[] = [];
  const inspect = (inspection: InspectionEvent): void => {
    if (inspection.type === '@xstate.event' && inspection.actorRef === actor)
      lastEvent = inspection.event.type;
  };
  // XState demands `input` by a conditional type that cannot be resolved for a generic machine.
  const create = createActor as unknown as (machine: Machine, withOptions: unknown) => Actor<Machine>;
  const actor = create(options.machine, {
    input: options.input,
    inspect,
    ...(runtime.chartClock === undefined ? {} : { clock: runtime.chartClock }),
  });
  actor.subscribe({
    next: (snapshot) => {
      const value: unknown = (snapshot as { value?: unknown }).value;
      if (runtime.charts.note(options.id, options.name, value, lastEvent)) {
        const extra = options.describe?.(snapshot) ?? '';
        const message = `${options.id}: ${dotted(value)}${extra === '' ? '' : ` (${extra})`}`;
        // To and fro between the same two states, e.g. while a disk cannot be opened, is no news.
        const toAndFro = lines[0] === message;
        lines = [...lines.slice(-1), message];
        if (!toAndFro || options.calm !== true)
          runtime.journal.add({
            kind: `${options.name}.state`,
            level: options.name === 'group' && !toAndFro ? 'info' : 'debug',
            message,
            data: { chart: options.id, machine: options.name, value, event: lastEvent },
            ...options.about,
          });
      }
      options.onChange?.(snapshot);
    },
    error: (error) => {
      runtime.journal.add({
        kind: 'chart.failed',
        level: 'error',
        message: `${options.id} failed: ${describeError(error)}; restart hastated`,
        ...options.about,
      });
    },
  });
  actor.start();
  return actor;
}

/** Resolves with the first snapshot that satisfies `reached`. @throws HastateError `chart-timeout` */
export async function reach<Machine extends AnyStateMachine>(
  actor: Actor<Machine>,
  what: string,
  reached: (snapshot: SnapshotFrom<Machine>) => boolean,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<SnapshotFrom<Machine>> {
  try {
    return await waitFor(actor, reached, { timeout: timeoutMs, ...(signal === undefined ? {} : { signal }) });
  } catch (cause) {
    const value: unknown = (actor.getSnapshot() as { value?: unknown }).value;
    throw new HastateError(
      'chart-timeout',
      `${what} did not happen within ${timeoutMs} ms: ${actor.id} is in ${dotted(value)}`,
      { cause },
    );
  }
}

/** Waits for all of it. @throws what failed first in order, once nothing runs any more */
export async function all(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** A port without a result, from a plain async function. */
export function step(work: () => Promise<void>) {
  return fromPromise<undefined, undefined>(async () => {
    await work();
    return undefined;
  });
}
