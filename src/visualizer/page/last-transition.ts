/** Which transition brought a chart to where it is. */
import type { ChartGraph, ChartTransition, ChartTrigger } from '../graph.ts';
import { pathsOfValue } from '../graph.ts';

/**
 * @param before state value that was seen before this one, or null when this is the first seen
 * @param lastEvent XState's type of the event, or null
 * @returns ids of the transitions that must have been taken; none when it cannot be told for certain
 */
export function lastTransitions(
  graph: ChartGraph,
  before: unknown,
  now: unknown,
  lastEvent: string | null,
): readonly string[] {
  if (lastEvent === null) return [];
  const present = new Set(pathsOfValue(now));
  const fitting = graph.transitions.filter(
    ({ trigger, target }) =>
      target !== null && present.has(target) && triggeredBy(trigger, lastEvent, graph.machine),
  );
  const past = new Set(['', ...pathsOfValue(before)]);
  const known = before === null ? fitting : innermost(fitting.filter(({ source }) => past.has(source)));
  // Guards are not known here: several that fit are only one way when they lead to the same place.
  const ways = new Set(known.map(({ source, target }) => `${source}>${target ?? ''}`));
  return ways.size === 1 ? known.map(({ id }) => id) : [];
}

/** XState lets the innermost state that has a fitting transition take it. */
function innermost(transitions: readonly ChartTransition[]): readonly ChartTransition[] {
  const deepest = Math.max(...transitions.map(depth));
  return transitions.filter((transition) => depth(transition) === deepest);
}

function depth({ source }: ChartTransition): number {
  return source === '' ? 0 : source.split('.').length;
}

function triggeredBy(trigger: ChartTrigger, event: string, machine: string): boolean {
  switch (trigger.kind) {
    case 'event':
      return trigger.name === event || trigger.name === '*';
    case 'after':
      return event.startsWith(`xstate.after.${trigger.name.replace(/ ms$/, '')}.`);
    case 'done':
      return event === `xstate.done.actor.${trigger.name}`;
    case 'error':
      return event === `xstate.error.actor.${trigger.name}`;
    case 'state-done':
      return event === `xstate.done.state.${trigger.name === '' ? machine : `${machine}.${trigger.name}`}`;
    case 'always':
      return false;
  }
}

/** An event's name for people: `prepareMembers done` instead of `xstate.done.actor.prepareMembers`. */
export function eventName(type: string): string {
  const match = /^xstate\.(after|done\.actor|error\.actor|done\.state|init|stop)\.?(.*)$/.exec(type);
  const [, what, rest = ''] = match ?? [];
  switch (what) {
    case 'after':
      return `after ${rest.split('.')[0] ?? rest}`;
    case 'done.actor':
      return `${rest} done`;
    case 'error.actor':
      return `${rest} failed`;
    case 'done.state':
      return `${rest} finished`;
    case 'init':
      return 'start';
    case 'stop':
      return 'stop';
    default:
      return type;
  }
}
