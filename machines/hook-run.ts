/**
 * A group's hooks of one verb, one at a time: the next starts when the last has exited.
 * `start` ends at the first failure, every other verb goes on and collects them.
 * @see SAFETY C2, C3, C5
 */
import { assign, setup } from 'xstate';

import { hookIsStuck, hookSucceeded } from '../src/model/hook.ts';
import type { HookOutcome, HookStep } from '../src/model/hook.ts';
import { port } from './port.ts';
import { textOf } from './thrown.ts';

/** What came of one hook; what it printed is in the journal. */
export interface HookRan extends Omit<HookOutcome, 'output'> {
  readonly name: string;
  readonly ok: boolean;
}

export interface HookRunInput {
  readonly verb: string;
  /** In the order in which they are to run. */
  readonly steps: readonly HookStep[];
}

export interface HookRunContext extends HookRunInput {
  readonly ran: readonly HookRan[];
  readonly stuck: boolean;
}

export interface HookRunOutput {
  /** Every step ran and succeeded. */
  readonly ok: boolean;
  readonly ran: readonly HookRan[];
  readonly failed: readonly HookRan[];
  /** Something of a hook is left and cannot be ended, or nobody knows: steps after it did not run. */
  readonly stuck: boolean;
  /** One line for the operator. */
  readonly summary: string;
}

/** The bound port does not say how the hook ended: it may still be running. */
const UNKNOWN: Omit<HookRan, 'name' | 'failure'> = {
  ok: false,
  exitCode: null,
  signal: null,
  timedOut: false,
  aborted: false,
  groupGone: false,
  durationMs: 0,
  attempts: 0,
};

function nextOf({ steps, ran }: HookRunContext): HookStep | undefined {
  return steps[ran.length];
}

function ranOf(context: HookRunContext, outcome: HookOutcome): HookRan {
  const { output: _, ...rest } = outcome;
  return { ...rest, name: nextOf(context)?.name ?? '', ok: hookSucceeded(outcome) };
}

function failedOf(context: HookRunContext): HookRan[] {
  return context.ran.filter((each) => !each.ok);
}

function summaryOf(context: HookRunContext): string {
  const failed = failedOf(context);
  if (failed.length === 0)
    return `${context.verb}: ${context.ran.length} of ${context.steps.length} hooks done`;
  return failed.map((each) => `hook ${each.name} ${context.verb} ${each.failure ?? 'failed'}`).join('; ');
}

export const hookRunMachine = setup({
  types: {
    context: {} as HookRunContext,
    input: {} as HookRunInput,
    output: {} as HookRunOutput,
  },
  actors: { runHook: port<HookOutcome, HookStep | undefined>('run-hook') },
  guards: {
    hookLeft: ({ context }) =>
      nextOf(context) !== undefined && (context.verb !== 'start' || failedOf(context).length === 0),
    allSucceeded: ({ context }) => failedOf(context).length === 0,
    someTimedOut: ({ context }) => context.ran.some((each) => each.timedOut),
    isStuck: (_, params: { outcome: HookOutcome }) => hookIsStuck(params.outcome),
  },
  actions: {
    noteOutcome: assign({
      ran: ({ context }, params: { outcome: HookOutcome }) => [
        ...context.ran,
        ranOf(context, params.outcome),
      ],
      stuck: (_, params: { outcome: HookOutcome }) => hookIsStuck(params.outcome),
    }),
    noteUnknown: assign({
      ran: ({ context }, params: { error: unknown }) => [
        ...context.ran,
        {
          ...UNKNOWN,
          name: nextOf(context)?.name ?? '',
          failure: `ended in a way that is not known: ${textOf(params.error)}`,
        },
      ],
      stuck: true,
    }),
  },
}).createMachine({
  id: 'hookRun',
  description: "A group's hooks of one verb, one at a time",
  context: ({ input }) => ({ verb: input.verb, steps: input.steps, ran: [], stuck: false }),
  initial: 'idle',
  output: ({ context }) => ({
    ok: !context.stuck && context.ran.length === context.steps.length && failedOf(context).length === 0,
    ran: context.ran,
    failed: failedOf(context),
    stuck: context.stuck,
    summary: summaryOf(context),
  }),
  states: {
    idle: {
      description: 'No hook runs: takes the next one or ends',
      always: [
        { guard: 'hookLeft', target: 'running' },
        { guard: 'allSucceeded', target: 'done' },
        { guard: 'someTimedOut', target: 'timedOut' },
        { target: 'failed' },
      ],
    },
    running: {
      description: 'One hook runs; left only when it has exited or its end is known to be unknown',
      invoke: {
        id: 'runHook',
        src: 'runHook',
        input: ({ context }) => nextOf(context),
        onDone: [
          {
            guard: { type: 'isStuck', params: ({ event }) => ({ outcome: event.output }) },
            target: 'stuck',
            actions: { type: 'noteOutcome', params: ({ event }) => ({ outcome: event.output }) },
          },
          {
            target: 'idle',
            actions: { type: 'noteOutcome', params: ({ event }) => ({ outcome: event.output }) },
          },
        ],
        onError: {
          target: 'stuck',
          actions: { type: 'noteUnknown', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    done: { type: 'final', description: 'Every hook succeeded' },
    failed: { type: 'final', description: 'Some hook failed; nothing of it has to be waited for' },
    timedOut: { type: 'final', description: 'Some hook took too long, was ended, and is gone for certain' },
    stuck: { type: 'final', description: 'Something of a hook survives, or may: nothing else may start' },
  },
});
