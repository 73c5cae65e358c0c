/** The hooks of a group, one after another, as the shipped chart runs them. */
import { expect } from 'vitest';
import { createActor, fromPromise } from 'xstate';

import { hookRunMachine } from '../../../machines/hook-run.ts';
import type { HookOutcome, HookStep } from '../../../src/model/hook.ts';
import { settled } from '../ports.ts';

export interface HooksScenario {
  readonly hooks: {
    readonly verb: string;
    /** What each hook comes to; a text: the port fails and nobody knows. A number: it exits with that. */
    readonly outcomes: readonly (number | string | Partial<HookOutcome>)[];
  };
  readonly expect: {
    readonly state: string;
    readonly ok: boolean;
    readonly stuck: boolean;
    /** How many were run. */
    readonly ran: number;
    readonly summary?: string;
  };
}

const EXITED: HookOutcome = {
  exitCode: 0,
  signal: null,
  timedOut: false,
  aborted: false,
  groupGone: true,
  durationMs: 1,
  output: '',
  attempts: 1,
  failure: null,
};

export async function runHooks({ hooks, expect: expected }: HooksScenario): Promise<void> {
  const { verb, outcomes } = hooks;
  let asked = 0;
  const machine = hookRunMachine.provide({
    actors: { runHook: fromPromise<HookOutcome, HookStep | undefined>(() => outcomeOf(outcomes[asked++])) },
  });
  const steps = outcomes.map(
    (_, i) => ({ group: 'storage', name: `${(i + 1) * 10}-hook`, verb }) as HookStep,
  );
  const actor = createActor(machine, { input: { verb, steps } });
  actor.start();
  for (let turn = 0; turn <= outcomes.length; turn += 1) await settled();
  const { value, output } = actor.getSnapshot();
  expect(value).toBe(expected.state);
  expect(output?.ok).toBe(expected.ok);
  expect(output?.stuck).toBe(expected.stuck);
  expect(asked).toBe(expected.ran);
  if (expected.summary !== undefined) expect(output?.summary).toContain(expected.summary);
}

function outcomeOf(told: HooksScenario['hooks']['outcomes'][number] | undefined): Promise<HookOutcome> {
  if (typeof told === 'string') return Promise.reject(new Error(told));
  if (typeof told !== 'number') return Promise.resolve({ ...EXITED, ...told });
  return Promise.resolve({ ...EXITED, exitCode: told, failure: told === 0 ? null : `exited with ${told}` });
}
