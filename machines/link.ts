/**
 * What this node hears of the other one, on all paths together. A message of any path is
 * HEARD; silence of D ms on all of them is what promotion waits for. @see SAFETY D, B3, B6
 */
import { assign, setup } from 'xstate';

import { effectPort } from './port.ts';

export interface LinkContext {
  readonly peer: string;
  readonly promotionDelayMs: number;
  readonly boot: string | null;
}

export interface LinkInput {
  readonly peer: string;
  readonly promotionDelayMs: number;
}

export type LinkEvent =
  /** From now on the other node could be heard. */
  | { readonly type: 'LISTENING' }
  /** A valid message on any path. */
  | { readonly type: 'HEARD' }
  | { readonly type: 'BOOT'; readonly boot: string }
  | { readonly type: 'GOODBYE' }
  | { readonly type: 'CERTAIN_DEATH' };

export type LinkVerdict = 'talking' | 'silent' | 'dead' | 'left';

export const linkMachine = setup({
  types: { context: {} as LinkContext, input: {} as LinkInput, events: {} as LinkEvent },
  delays: { promotionDelay: ({ context }) => context.promotionDelayMs },
  actions: {
    notifyLink: effectPort<{ state: LinkVerdict }>('notify-link'),
    noteBoot: assign({ boot: ({ event, context }) => (event.type === 'BOOT' ? event.boot : context.boot) }),
  },
}).createMachine({
  id: 'link',
  description: 'Whether the other node can be heard, on any path',
  context: ({ input }) => ({ peer: input.peer, promotionDelayMs: input.promotionDelayMs, boot: null }),
  initial: 'unheard',
  on: { BOOT: { actions: 'noteBoot' } },
  states: {
    unheard: {
      description: 'Not heard since this daemon started',
      after: { promotionDelay: 'silent' },
      on: { HEARD: 'talking', LISTENING: { target: 'unheard', reenter: true } },
    },
    talking: {
      description: 'Heard within the promotion delay on some path',
      entry: { type: 'notifyLink', params: { state: 'talking' } },
      initial: 'listening',
      on: { GOODBYE: 'left', CERTAIN_DEATH: 'dead' },
      states: {
        listening: {
          after: { promotionDelay: '#link.silent' },
          on: { HEARD: { target: 'listening', reenter: true } },
        },
      },
    },
    silent: {
      description: 'Every path silent for the promotion delay',
      entry: { type: 'notifyLink', params: { state: 'silent' } },
      on: { HEARD: 'talking', CERTAIN_DEATH: 'dead', LISTENING: 'unheard' },
    },
    dead: {
      description: 'Channel reset, new connection refused, nothing heard since',
      entry: { type: 'notifyLink', params: { state: 'dead' } },
      on: { HEARD: 'talking' },
    },
    left: {
      description: 'Said goodbye: a clean stop',
      entry: { type: 'notifyLink', params: { state: 'left' } },
      on: { HEARD: 'talking' },
    },
  },
});
