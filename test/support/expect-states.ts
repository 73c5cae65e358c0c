/** What a chart went through, as dotted paths, so that a test can tell the whole story in one line. */
import { expect } from 'vitest';
import type { AnyActorRef } from 'xstate';

/** `{MASTER: {adverts: 'sending', address: 'wanted'}}` is `MASTER.adverts.sending+address.wanted`. */
export function pathOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([name, child]) => {
      const path = pathOf(child);
      return path === '' ? name : `${name}.${path}`;
    })
    .join('+');
}

export interface StateRecord {
  /** Every different state so far, the first included. */
  readonly visited: readonly string[];
  /** Starts the story anew from the present state. */
  restart(): void;
  /** Fails unless exactly these states were visited, in this order. */
  toVisit(expected: readonly string[]): void;
}

/** Call before the actor is started. */
export function expectStates(actor: AnyActorRef): StateRecord {
  const visited: string[] = [];
  actor.subscribe((snapshot: { value?: unknown }) => {
    const path = pathOf(snapshot.value);
    if (visited.at(-1) !== path) visited.push(path);
  });
  return {
    visited,
    restart: () => void visited.splice(0, visited.length - 1),
    toVisit: (expected) => {
      expect(visited).toEqual(expected);
    },
  };
}
