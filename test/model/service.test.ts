import { createActor, fromPromise, SimulatedClock } from 'xstate';
import { getShortestPaths } from 'xstate/graph';
import { describe, expect, it } from 'vitest';

import { serviceMachine } from '../../machines/service.ts';
import type { ServiceLook } from '../../machines/service.ts';
import type { MonitorSettings } from '../../src/model/monitor.ts';
import { expectStates } from '../support/expect-states.ts';

const settings: MonitorSettings = {
  intervalMs: 5000,
  timeoutMs: 1000,
  rise: 2,
  fall: 2,
  restarts: 1,
  withinMs: 600_000,
};
const input = { group: 'storage', hook: '50-web', settings };
const why = 'exited with 3';

interface World {
  readonly looks: (boolean | Error)[];
  readonly restartOk?: boolean;
  readonly leave?: () => Promise<undefined>;
}

/** A service in virtual time: each tick is one interval and everything that follows from it. */
function watched({ looks, restartOk = true, leave = () => Promise.resolve(undefined) }: World) {
  const clock = new SimulatedClock();
  const stays: string[] = [];
  const left: string[] = [];
  const machine = serviceMachine.provide({
    actors: {
      lookAtService: fromPromise((): Promise<ServiceLook> => {
        const look = looks.shift() ?? true;
        if (look instanceof Error) return Promise.reject(look);
        return Promise.resolve({ running: look, why: look ? '' : why, at: clock.now() });
      }),
      restartService: fromPromise(() =>
        Promise.resolve({
          ok: restartOk,
          summary: restartOk ? 'restarted' : 'hook 50-web start exited with 1',
        }),
      ),
      leaveNode: fromPromise(({ input: about }) => {
        left.push(about.why);
        return leave();
      }),
    },
    actions: { reportStays: (_, { error }) => void stays.push(String(error)) },
  });
  const actor = createActor(machine, { input, clock });
  const record = expectStates(actor);
  actor.start();
  const tick = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n++) {
      clock.increment(settings.intervalMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { actor, clock, record, tick, stays, left };
}

describe('the chart of a service', () => {
  it('looks once per interval and not earlier', async () => {
    const { clock, record } = watched({ looks: [] });
    clock.increment(settings.intervalMs - 1);
    await Promise.resolve();
    record.toVisit(['well']);
    clock.increment(1);
    record.toVisit(['well', 'looking']);
  });

  it('restarts a failed service and calls it well after enough good looks', async () => {
    const { record, tick, left } = watched({ looks: [false, false, true, true] });
    await tick(4);
    record.toVisit([
      ...['well', 'looking', 'well', 'looking', 'restarting', 'failed'],
      ...['looking', 'failed', 'looking', 'well'],
    ]);
    expect(left).toEqual([]);
  });

  it('lets the group leave when the budget is spent, and says why', async () => {
    const { tick, left, record } = watched({ looks: [false, false, false, false] });
    await tick(4);
    expect(left).toEqual([why]);
    expect(record.visited.slice(-3)).toEqual(['looking', 'leaving', 'failed']);
  });

  it('does not wait for more looks when the service does not start again', async () => {
    const { tick, left } = watched({ looks: [false, false], restartOk: false });
    await tick(2);
    expect(left).toEqual(['hook 50-web start exited with 1']);
  });

  it('stays and says so where the other node may not take the group, and tries again later', async () => {
    const { tick, stays, actor } = watched({
      looks: Array.from({ length: 6 }, () => false),
      leave: () => Promise.reject(new Error('b is not in sync')),
    });
    await tick(6);
    expect(stays).toEqual(['Error: b is not in sync', 'Error: b is not in sync']);
    expect(actor.getSnapshot().value).toBe('failed');
  });

  it('takes a look that ends in a way that nobody knows for a bad one (C5)', async () => {
    const { tick, record } = watched({ looks: [new Error('lost'), new Error('lost')] });
    await tick(2);
    expect(record.visited).toContain('restarting');
  });

  it('never does two things at once, whatever order the answers come in', () => {
    const done = (actorId: string, output?: unknown) => ({
      type: `xstate.done.actor.${actorId}`,
      actorId,
      output,
    });
    const failed = (actorId: string) => ({
      type: `xstate.error.actor.${actorId}`,
      actorId,
      error: new Error('broken'),
    });
    const paths = getShortestPaths(serviceMachine.provide({ actions: { reportStays: () => undefined } }), {
      input,
      events: [
        { type: 'xstate.after.interval.service.well' },
        { type: 'xstate.after.interval.service.failed' },
        done('lookAtService', { running: true, why: '', at: 1 }),
        done('lookAtService', { running: false, why, at: 1 }),
        failed('lookAtService'),
        done('restartService', { ok: true, summary: '' }),
        done('restartService', { ok: false, summary: 'no' }),
        failed('restartService'),
        done('leaveNode'),
        failed('leaveNode'),
      ] as never,
      serializeState: ({ value, context }) => JSON.stringify([value, context.record, context.remedy]),
      limit: 5000,
    });
    const states = new Set(paths.map(({ state }) => state.value));
    expect(states).toEqual(new Set(['well', 'failed', 'looking', 'restarting', 'leaving']));
    for (const { state } of paths) {
      const running = Object.values(state.children).filter((child) => child !== undefined);
      expect(running.length).toBeLessThanOrEqual(1);
    }
  });
});
