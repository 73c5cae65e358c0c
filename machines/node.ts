/** The whole node: opens its disks, lets its groups live, and stops them in order. */
import { assign, setup } from 'xstate';

import { port } from './port.ts';
import { textOf, thrown } from './thrown.ts';

export interface NodeContext {
  readonly node: string;
  readonly error: string | null;
}

export interface NodeInput {
  readonly node: string;
}

export type NodeEvent = { readonly type: 'STOP' };

export const nodeMachine = setup({
  types: { context: {} as NodeContext, input: {} as NodeInput, events: {} as NodeEvent },
  actors: {
    cleanUp: port('clean-up'),
    openResources: port('open-resources'),
    startLink: port('start-link'),
    startGroups: port('start-groups'),
    stopGroups: port('stop-groups'),
    closeAll: port('close-all'),
  },
  actions: {
    noteError: assign({
      error: (_, params: { error: unknown }) => textOf(params.error),
    }),
  },
}).createMachine({
  id: 'node',
  description: 'One daemon, from start to stop',
  context: ({ input }) => ({ node: input.node, error: null }),
  initial: 'cleaning',
  states: {
    cleaning: {
      description: 'Finds and detaches what an earlier life left behind',
      invoke: {
        id: 'cleanUp',
        src: 'cleanUp',
        onDone: 'opening',
        onError: {
          target: 'opening',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    opening: {
      description: 'Locks the disks and reads their records',
      invoke: {
        id: 'openResources',
        src: 'openResources',
        onDone: 'linking',
        onError: {
          target: 'linking',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    linking: {
      description: 'Opens the peer channel, the data link and the adverts',
      invoke: {
        id: 'startLink',
        src: 'startLink',
        onDone: 'starting',
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    starting: {
      invoke: {
        id: 'startGroups',
        src: 'startGroups',
        onDone: 'running',
        onError: {
          target: 'failed',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    running: { on: { STOP: 'stoppingGroups' } },
    stoppingGroups: {
      description: 'Groups go down in order; a peer in sync is handed over to',
      invoke: {
        id: 'stopGroups',
        src: 'stopGroups',
        onDone: 'closing',
        onError: {
          target: 'closing',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    failed: { on: { STOP: 'stoppingGroups' } },
    closing: {
      invoke: {
        id: 'closeAll',
        src: 'closeAll',
        onDone: 'stopped',
        onError: {
          target: 'stopped',
          actions: { type: 'noteError', params: thrown },
        },
      },
    },
    stopped: { type: 'final' },
  },
});
