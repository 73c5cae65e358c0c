import { createActor, fromPromise, toPromise } from 'xstate';
import { getSimplePaths } from 'xstate/graph';
import { describe, expect, it } from 'vitest';

import { hookRunMachine } from '../../machines/hook-run.ts';
import type { HookRunOutput } from '../../machines/hook-run.ts';
import type { HookOutcome, HookStep } from '../../src/model/hook.ts';
import { expectStates } from '../support/expect-states.ts';

const step = (name: string): HookStep => ({
  group: 'storage',
  name,
  path: `/hooks/${name}`,
  verb: 'start',
  args: [],
  env: {},
  timeoutMs: 1000,
  graceMs: 100,
  retries: 0,
  retryDelayMs: 1,
});

const outcome = (changes: Partial<HookOutcome> = {}): HookOutcome => ({
  exitCode: 0,
  signal: null,
  timedOut: false,
  aborted: false,
  groupGone: true,
  durationMs: 5,
  output: 'secret of the journal',
  attempts: 1,
  failure: null,
  ...changes,
});

const GOOD = outcome({ groupGone: false });
const BAD = outcome({ exitCode: 1, failure: 'exited with 1' });
const ENDED = outcome({ exitCode: 0, timedOut: true, failure: 'timed out after 1 s and was ended' });
const STUCK = outcome({ exitCode: null, timedOut: true, groupGone: false, failure: 'timed out' });
const UNWANTED = outcome({ exitCode: null, aborted: true, groupGone: false, failure: 'was told to end' });

const steps = ['10-zfs', '20-ext4', '50-nfs'].map(step);

const exits = [
  ...[GOOD, BAD, ENDED, STUCK, UNWANTED].map((output) => ({
    type: 'xstate.done.actor.runHook' as const,
    output,
    actorId: 'runHook',
  })),
  { type: 'xstate.error.actor.runHook' as const, error: new Error('unbound'), actorId: 'runHook' },
];

function allPaths(verb: string) {
  return getSimplePaths(hookRunMachine, {
    input: { verb, steps },
    events: exits as never,
    serializeState: (state) => JSON.stringify([state.value, state.context.ran]),
  }).filter((path) => path.state.status !== 'active');
}

describe.each(['start', 'stop', 'status'])('every path of %s through three hooks', (verb) => {
  const paths = allPaths(verb);

  it('reaches every way to end', () => {
    expect(new Set(paths.map((path) => path.state.value))).toEqual(
      new Set(['done', 'failed', 'timedOut', 'stuck']),
    );
  });

  it('is success only if every hook exited with 0 by itself (C5)', () => {
    for (const { state } of paths) {
      const { ok, ran } = state.output as HookRunOutput;
      const allGood =
        ran.length === steps.length && ran.every((each) => each.exitCode === 0 && !each.timedOut);
      expect([state.value, ok]).toEqual([allGood ? 'done' : state.value, allGood]);
      expect(state.value === 'done').toBe(ok);
    }
  });

  it('starts nothing after a hook of which something is left (C2, C3)', () => {
    for (const { state } of paths) {
      const { stuck, ran } = state.output as HookRunOutput;
      const at = ran.findIndex((each) => !each.ok && !each.groupGone);
      expect(stuck).toBe(at >= 0);
      if (stuck) expect(at).toBe(ran.length - 1);
      expect(state.value === 'stuck').toBe(stuck);
    }
  });

  it(verb === 'start' ? 'starts nothing after a failure' : 'goes on after a failure', () => {
    for (const { state } of paths) {
      const { stuck, ran, failed } = state.output as HookRunOutput;
      if (verb === 'start')
        expect(ran.findIndex((each) => !each.ok)).toBe(failed.length > 0 ? ran.length - 1 : -1);
      else if (!stuck) expect(ran).toHaveLength(steps.length);
      expect(ran.map((each) => each.name)).toEqual(steps.slice(0, ran.length).map((each) => each.name));
    }
  });
});

async function runWith(verb: string, run: (name: string) => Promise<HookOutcome>) {
  const machine = hookRunMachine.provide({
    actors: {
      runHook: fromPromise<HookOutcome, HookStep | undefined>(({ input }) => run(input?.name ?? 'nothing')),
    },
  });
  const actor = createActor(machine, { input: { verb, steps } });
  const states = expectStates(actor);
  actor.start();
  return { output: await toPromise(actor), states };
}

describe('hookRunMachine with hooks bound', () => {
  it('runs one hook at a time, in order', async () => {
    const story: string[] = [];
    const { output, states } = await runWith('start', async (name) => {
      story.push(`${name} starts`);
      await Promise.resolve();
      story.push(`${name} exits`);
      return GOOD;
    });
    expect(story).toEqual(steps.flatMap(({ name }) => [`${name} starts`, `${name} exits`]));
    expect(output).toMatchObject({ ok: true, stuck: false, summary: 'start: 3 of 3 hooks done' });
    states.toVisit(['running', 'done']);
  });

  it('names each hook that failed and why, without what it printed', async () => {
    const { output } = await runWith('stop', (name) => Promise.resolve(name === '50-nfs' ? GOOD : BAD));
    expect(output.summary).toBe('hook 10-zfs stop exited with 1; hook 20-ext4 stop exited with 1');
    expect(JSON.stringify(output)).not.toContain('secret of the journal');
  });

  it('has nothing to do without hooks', async () => {
    const actor = createActor(hookRunMachine, { input: { verb: 'start', steps: [] } });
    actor.start();
    expect(await toPromise(actor)).toMatchObject({ ok: true, ran: [] });
  });

  it('does not take hooks that nobody bound for success', async () => {
    const actor = createActor(hookRunMachine, { input: { verb: 'start', steps } });
    actor.start();
    const output = await toPromise(actor);
    expect(output).toMatchObject({ ok: false, stuck: true });
    expect(output.summary).toContain("port 'run-hook' is not bound");
  });
});
