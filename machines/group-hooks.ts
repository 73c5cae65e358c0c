/** Where a group goes when its hooks have run. @see SAFETY C2, C3 */
import { type HooksResult, scope } from './group-context.ts';
import { thrown } from './thrown.ts';

interface HooksEnded {
  readonly event: { readonly output: HooksResult };
}
export const outcome = ({ event }: HooksEnded) => ({ result: event.output });
export const summary = ({ event }: HooksEnded) => ({ error: event.output.summary });

/** @param whenStuck where to go when something of a hook cannot be ended (C3) */
export function stopHooks<Target extends string>(whenStuck: Target) {
  return {
    id: 'stopHooks',
    src: 'stopHooks',
    input: scope,
    onDone: [
      {
        guard: { type: 'hooksStuck', params: outcome },
        target: whenStuck,
        actions: { type: 'noteError', params: summary },
      },
      { guard: { type: 'hooksOk', params: outcome }, target: 'detaching' },
      { target: 'detaching', actions: { type: 'noteError', params: summary } },
    ],
    onError: { target: 'detaching', actions: { type: 'noteError', params: thrown } },
  } as const;
}
