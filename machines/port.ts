/**
 * Placeholders for what a machine needs of the world. The daemon binds them with
 * `machine.provide({ actors, actions })`; one that nobody bound fails loudly instead of doing nothing.
 */
import { fromPromise } from 'xstate';
import type { PromiseActorLogic } from 'xstate';

import { HastateError } from '../src/model/errors.ts';

function unbound(kind: string, name: string): HastateError {
  return new HastateError(
    'port-unbound',
    `${kind} '${name}' is not bound to anything; provide it before the machine is started`,
  );
}

/**
 * An actor that ends with `Output` (a port without a result ends with undefined).
 * Until it is provided it fails with `port-unbound`, which reaches the invoke's onError.
 */
export function port<Output = undefined, Input = undefined>(name: string): PromiseActorLogic<Output, Input> {
  return fromPromise<Output, Input>(() => Promise.reject(unbound('port', name)));
}

/** A fire-and-forget action; the first argument is XState's and of no use to whom it is bound to. */
export type Effect<Params> = (args: unknown, params: Params) => void;

/**
 * A fire-and-forget action with `Params`. Until it is provided it throws `port-unbound`,
 * which ends the actor with an error.
 */
export function effectPort<Params = undefined>(name: string): Effect<Params> {
  return () => {
    throw unbound('effect', name);
  };
}
