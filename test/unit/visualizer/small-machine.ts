/** A small machine with one of everything that can be drawn. */
import { and, fromPromise, not, setup } from 'xstate';

export const smallMachine = setup({
  actors: { run: fromPromise(() => Promise.resolve(1)) },
  guards: { ready: () => true, told: () => false },
  delays: { patience: 100 },
  actions: { note: () => undefined, enter: () => undefined, leave: () => undefined },
}).createMachine({
  id: 'small',
  description: 'One of everything',
  initial: 'waiting',
  on: { RESET: '.waiting' },
  states: {
    waiting: {
      description: 'Nothing to do',
      entry: 'enter',
      exit: 'leave',
      on: {
        GO: [
          { guard: and(['ready', not('told')]), target: 'working', actions: 'note' },
          { target: '#small.both' },
        ],
        TICK: { actions: 'note' },
      },
      after: { patience: 'working', 500: 'over' },
      always: { guard: 'told', target: 'over' },
    },
    working: {
      initial: 'first',
      invoke: { id: 'job', src: 'run', onDone: 'both', onError: '.second' },
      onDone: 'over',
      states: { first: { on: { NEXT: 'second' } }, second: { type: 'final' } },
    },
    both: {
      type: 'parallel',
      states: {
        left: {},
        right: { initial: 'on', states: { on: { on: { FLIP: 'off' } }, off: {} } },
      },
      on: { GO: 'over' },
    },
    over: { type: 'final' },
  },
});
