/**
 * One service of a group that serves: its hook is asked for `status` again and again. A service that
 * failed is stopped and started here as often as its budget allows; then the group leaves this node,
 * where the other one may take it. It ends with the group's time as primary.
 * @see SAFETY C2, C3, C5
 */
import { assign, setup } from 'xstate';

import { afterLook, STARTED_SERVICE } from '../src/model/monitor.ts';
import type { MonitorSettings, ServiceRecord, ServiceRemedy } from '../src/model/monitor.ts';
import { effectPort, port } from './port.ts';
import { textOf, thrown } from './thrown.ts';

export interface ServiceInput {
  readonly group: string;
  readonly hook: string;
  readonly settings: MonitorSettings;
}

export interface ServiceContext extends ServiceInput {
  readonly record: ServiceRecord;
  readonly remedy: ServiceRemedy;
  /** What is wrong with it, in words; null while it is well. */
  readonly error: string | null;
  /** When it was last looked at. ms */
  readonly at: number;
}

/** What a look saw. */
export interface ServiceLook {
  readonly running: boolean;
  /** In words, when it is not running. */
  readonly why: string;
  /** ms */
  readonly at: number;
}

/** How a stop and start came out. */
export interface ServiceRestart {
  readonly ok: boolean;
  readonly summary: string;
}

interface ServiceScope {
  readonly group: string;
  readonly hook: string;
  readonly why: string;
}

const scope = ({ context }: { context: ServiceContext }): ServiceScope => ({
  group: context.group,
  hook: context.hook,
  why: context.error ?? 'its service failed',
});

export const serviceMachine = setup({
  types: { context: {} as ServiceContext, input: {} as ServiceInput },
  actors: {
    lookAtService: port<ServiceLook, ServiceScope>('look-at-service'),
    restartService: port<ServiceRestart, ServiceScope>('restart-service'),
    leaveNode: port<undefined, ServiceScope>('leave-node'),
  },
  guards: {
    isWell: ({ context }) => context.record.well,
    restartDue: ({ context }) => context.remedy === 'restart',
    leaveDue: ({ context }) => context.remedy === 'leave',
    restarted: (_, params: { restart: ServiceRestart }) => params.restart.ok,
  },
  delays: { interval: ({ context }) => context.settings.intervalMs },
  actions: {
    noteLook: assign(({ context }, { running, why, at }: ServiceLook) => ({
      ...afterLook(context.record, running, at, context.settings),
      error: running ? context.error : why,
      at,
    })),
    // C5: what could not be found out is no success.
    noteBlind: assign(({ context }, params: { error: unknown }) => ({
      ...afterLook(context.record, false, context.at, context.settings),
      error: textOf(params.error),
    })),
    noteFailure: assign({ error: (_, params: { error: unknown }) => textOf(params.error) }),
    forgetError: assign({ error: null }),
    reportStays: effectPort<{ error: unknown }>('report-stays'),
  },
}).createMachine({
  id: 'service',
  description: 'A service of a group that is primary here, watched through its hook',
  context: ({ input }) => ({ ...input, record: STARTED_SERVICE, remedy: 'none', error: null, at: 0 }),
  initial: 'well',
  states: {
    well: {
      description: 'As far as the last look saw',
      entry: 'forgetError',
      after: { interval: 'looking' },
    },
    failed: { description: 'Until enough good looks follow each other', after: { interval: 'looking' } },
    looking: {
      description: 'The hook is asked; one that hangs is ended and counts as failed',
      invoke: {
        id: 'lookAtService',
        src: 'lookAtService',
        input: scope,
        onDone: {
          target: 'judging',
          actions: { type: 'noteLook', params: ({ event }) => event.output },
        },
        onError: { target: 'judging', actions: { type: 'noteBlind', params: thrown } },
      },
    },
    judging: {
      always: [
        { guard: 'restartDue', target: 'restarting' },
        { guard: 'leaveDue', target: 'leaving' },
        { guard: 'isWell', target: 'well' },
        { target: 'failed' },
      ],
    },
    restarting: {
      description: 'This hook alone stops and starts; the rest of the group stays as it is',
      invoke: {
        id: 'restartService',
        src: 'restartService',
        input: scope,
        onDone: [
          {
            guard: { type: 'restarted', params: ({ event }) => ({ restart: event.output }) },
            target: 'failed',
          },
          {
            target: 'leaving',
            actions: { type: 'noteFailure', params: ({ event }) => ({ error: event.output.summary }) },
          },
        ],
        onError: { target: 'leaving', actions: { type: 'noteFailure', params: thrown } },
      },
    },
    leaving: {
      description: 'The other node is to take the group; where it may not, the group stays and says so',
      invoke: {
        id: 'leaveNode',
        src: 'leaveNode',
        input: scope,
        onDone: 'failed',
        onError: { target: 'failed', actions: { type: 'reportStays', params: thrown } },
      },
    },
  },
});
