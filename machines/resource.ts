/**
 * The HAST role of one resource on this node. Commands change the role through the
 * engine's ports; what the engine tells of itself moves the nested states.
 */
import { assign, setup } from 'xstate';

import type { Epoch } from '../src/model/record.ts';
import type { NodeName } from '../src/model/roles.ts';
import { port } from './port.ts';
import { textOf, thrown } from './thrown.ts';

/** How a member is to become primary. */
export interface PromotionOrder {
  readonly epoch: Epoch;
  /** Who has everything in this epoch. */
  readonly inSync: readonly NodeName[];
  /** An operator accepted the loss of what is missing here. */
  readonly forced: boolean;
  /** E1: an operator says that a copy is whole which followed a plain hastd. */
  readonly vouched?: boolean;
  /** The decision counted on the peer's silence since this time (ms): a later word of it calls the promotion off. */
  readonly heardBefore: number | null;
  /** B6, F: whoever was primary before is certainly dead. */
  readonly earlierGone: boolean;
}

export interface ResourceContext {
  readonly resource: string;
  readonly order: PromotionOrder | null;
  readonly handover: boolean;
  /** Why the last command failed, or null. */
  readonly error: string | null;
}

export interface ResourceInput {
  readonly resource: string;
}

export type ResourceMachineEvent =
  | { readonly type: 'SECONDARY' }
  | { readonly type: 'PREPARE'; readonly order: PromotionOrder }
  | { readonly type: 'PROMOTE' }
  | { readonly type: 'RELEASE'; readonly handover: boolean }
  | { readonly type: 'REOPEN' }
  | { readonly type: 'ENGINE.CONNECTED' }
  | { readonly type: 'ENGINE.DISCONNECTED' }
  | { readonly type: 'ENGINE.SYNC_STARTED' }
  | { readonly type: 'ENGINE.SYNC_DONE' }
  | { readonly type: 'ENGINE.SYNC_INTERRUPTED' }
  | { readonly type: 'ENGINE.HELD' }
  | { readonly type: 'ENGINE.RESUMED' }
  | { readonly type: 'ENGINE.FROZEN' }
  | { readonly type: 'ENGINE.THAWED' }
  | { readonly type: 'ENGINE.SPLIT_BRAIN' }
  | { readonly type: 'ENGINE.DIED'; readonly reason: string };

export const resourceMachine = setup({
  types: {
    context: {} as ResourceContext,
    input: {} as ResourceInput,
    events: {} as ResourceMachineEvent,
  },
  actors: {
    openEngine: port<undefined, { resource: string }>('open-engine'),
    becomeSecondary: port<undefined, { resource: string }>('become-secondary'),
    preparePrimary: port<undefined, { resource: string; order: PromotionOrder | null }>('prepare-primary'),
    becomePrimary: port<undefined, { resource: string; order: PromotionOrder | null }>('become-primary'),
    releaseEngine: port<undefined, { resource: string; handover: boolean }>('release-engine'),
  },
  actions: {
    noteError: assign({
      error: (_, params: { error: unknown }) => textOf(params.error),
    }),
    clearError: assign({ error: null }),
  },
}).createMachine({
  id: 'resource',
  description: 'HAST role of one resource: init, secondary or primary',
  context: ({ input }) => ({ resource: input.resource, order: null, handover: false, error: null }),
  initial: 'opening',
  on: {
    'ENGINE.DIED': {
      target: '.failed',
      actions: { type: 'noteError', params: ({ event }) => ({ error: event.reason }) },
    },
  },
  states: {
    opening: {
      description: 'The disk is locked, its metadata and activemap are read',
      invoke: {
        id: 'openEngine',
        src: 'openEngine',
        input: ({ context }) => ({ resource: context.resource }),
        onDone: { target: 'init', actions: 'clearError' },
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    init: {
      description: 'No role: neither serves nor replicates',
      on: {
        REOPEN: 'opening',
        SECONDARY: 'becomingSecondary',
        PREPARE: {
          target: 'preparing',
          actions: assign({ order: ({ event }) => event.order }),
        },
        RELEASE: { target: 'releasing', actions: assign({ handover: ({ event }) => event.handover }) },
      },
    },
    becomingSecondary: {
      invoke: {
        id: 'becomeSecondary',
        src: 'becomeSecondary',
        input: ({ context }) => ({ resource: context.resource }),
        onDone: { target: 'secondary', actions: 'clearError' },
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    secondary: {
      description: 'Waits for a primary, then receives its writes',
      initial: 'waiting',
      states: {
        waiting: { on: { 'ENGINE.CONNECTED': 'connected' } },
        connected: { on: { 'ENGINE.DISCONNECTED': 'waiting', 'ENGINE.SYNC_STARTED': 'syncing' } },
        syncing: {
          on: {
            'ENGINE.DISCONNECTED': 'waiting',
            'ENGINE.SYNC_DONE': 'connected',
            'ENGINE.SYNC_INTERRUPTED': 'connected',
          },
        },
        splitBrain: { on: { 'ENGINE.CONNECTED': 'connected' } },
      },
      on: {
        'ENGINE.SPLIT_BRAIN': '.splitBrain',
        SECONDARY: 'becomingSecondary',
        PREPARE: {
          target: 'preparing',
          actions: assign({ order: ({ event }) => event.order }),
        },
        RELEASE: { target: 'releasing', actions: assign({ handover: ({ event }) => event.handover }) },
      },
    },
    preparing: {
      description: 'Reads the data link to its end, flushes, records the new epoch',
      invoke: {
        id: 'preparePrimary',
        src: 'preparePrimary',
        input: ({ context }) => ({ resource: context.resource, order: context.order }),
        onDone: { target: 'prepared', actions: 'clearError' },
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    prepared: {
      description: 'The record names this node; nothing is served yet',
      on: {
        PROMOTE: 'promoting',
        SECONDARY: 'becomingSecondary',
        RELEASE: { target: 'releasing', actions: assign({ handover: ({ event }) => event.handover }) },
      },
    },
    promoting: {
      invoke: {
        id: 'becomePrimary',
        src: 'becomePrimary',
        input: ({ context }) => ({ resource: context.resource, order: context.order }),
        onDone: { target: 'primary', actions: 'clearError' },
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    primary: {
      description: 'Serves the device and replicates',
      type: 'parallel',
      states: {
        peer: {
          initial: 'degraded',
          states: {
            degraded: { on: { 'ENGINE.CONNECTED': 'complete' } },
            complete: { on: { 'ENGINE.DISCONNECTED': 'degraded', 'ENGINE.SYNC_STARTED': 'syncing' } },
            syncing: {
              on: {
                'ENGINE.DISCONNECTED': 'degraded',
                'ENGINE.SYNC_DONE': 'complete',
                'ENGINE.SYNC_INTERRUPTED': 'complete',
              },
            },
            splitBrain: { on: { 'ENGINE.CONNECTED': 'complete' } },
          },
          on: { 'ENGINE.SPLIT_BRAIN': '.splitBrain' },
        },
        io: {
          initial: 'serving',
          states: {
            serving: { on: { 'ENGINE.HELD': 'held', 'ENGINE.FROZEN': 'frozen' } },
            held: { on: { 'ENGINE.RESUMED': 'serving', 'ENGINE.FROZEN': 'frozen' } },
            frozen: { on: { 'ENGINE.THAWED': 'serving' } },
          },
        },
      },
      on: { RELEASE: { target: 'releasing', actions: assign({ handover: ({ event }) => event.handover }) } },
    },
    releasing: {
      description: 'Closes the export, finishes what runs, flushes both sides',
      invoke: {
        id: 'releaseEngine',
        src: 'releaseEngine',
        input: ({ context }) => ({ resource: context.resource, handover: context.handover }),
        onDone: { target: 'init', actions: 'clearError' },
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    failed: {
      description: 'The engine refused or died; says why in its context',
      on: {
        REOPEN: 'opening',
        SECONDARY: 'becomingSecondary',
        RELEASE: { target: 'releasing', actions: assign({ handover: ({ event }) => event.handover }) },
      },
    },
  },
});
