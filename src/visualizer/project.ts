/**
 * Turns a machine definition into the graph that the page draws. Pure: reads the
 * definition only, starts nothing; so what is drawn is what runs.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate';

import type {
  ChartGraph,
  ChartInvoke,
  ChartState,
  ChartTransition,
  ChartTrigger,
  StateKind,
} from './graph.ts';

type AnyTransition = AnyStateNode['always'] extends (infer T)[] | undefined ? T : never;

/** @param name under which the page and `ChartSnapshot.machine` know the machine */
export function projectMachine(name: string, machine: AnyStateMachine): ChartGraph {
  const nodes = descend(machine.root);
  return {
    machine: name,
    description: machine.root.description ?? null,
    states: nodes.map(projectState),
    transitions: nodes.flatMap((node) =>
      transitionsOf(node).map((transition, index) => projectTransition(node, transition, index)),
    ),
  };
}

function descend(node: AnyStateNode): readonly AnyStateNode[] {
  return [node, ...Object.values<AnyStateNode>(node.states).flatMap(descend)];
}

function pathOf(node: AnyStateNode): string {
  return node.path.join('.');
}

function projectState(node: AnyStateNode): ChartState {
  const parent = node.parent ?? null;
  return {
    path: pathOf(node),
    key: node.key,
    parent: parent === null ? null : pathOf(parent),
    kind: kindOf(node),
    initial: parent !== null && parent.type === 'compound' && parent.initial.target[0] === node,
    description: node.description ?? null,
    invokes: node.invoke.map(projectInvoke),
    entry: namesOf(node.entry),
    exit: namesOf(node.exit),
  };
}

function kindOf(node: AnyStateNode): StateKind {
  return node.type;
}

/** An invoke without a name of its own gets a long generated one, which is of no use to a reader. */
function projectInvoke({ id, src }: { readonly id: string; readonly src: unknown }): ChartInvoke {
  return { id, src: typeof src === 'string' && !src.startsWith('xstate.invoke.') ? src : id };
}

/** The order in which XState tries them: events as written, then `always`. */
function transitionsOf(node: AnyStateNode): readonly AnyTransition[] {
  return [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
}

function projectTransition(node: AnyStateNode, transition: AnyTransition, index: number): ChartTransition {
  const target = transition.target?.[0];
  return {
    id: `${pathOf(node)}#${index}`,
    source: pathOf(node),
    target: target === undefined ? null : pathOf(target),
    trigger: triggerOf(transition, node.machine.id),
    guard: transition.guard === undefined ? null : guardName(transition.guard),
    actions: namesOf(transition.actions),
  };
}

function triggerOf(transition: AnyTransition, machineId: string): ChartTrigger {
  const type = String(transition.eventType);
  if (type === '') return { kind: 'always', name: '' };
  const internal = /^xstate\.(after|done\.actor|error\.actor|done\.state)\.(.*)$/s.exec(type);
  const [, what, rest = ''] = internal ?? [];
  switch (what) {
    case 'after':
      return { kind: 'after', name: delayName(transition, rest) };
    case 'done.actor':
      return { kind: 'done', name: rest };
    case 'error.actor':
      return { kind: 'error', name: rest };
    case 'done.state':
      return {
        kind: 'state-done',
        name: rest.startsWith(`${machineId}.`) ? rest.slice(machineId.length + 1) : '',
      };
    default:
      return { kind: 'event', name: type };
  }
}

function delayName(transition: AnyTransition, rest: string): string {
  const delay: unknown = 'delay' in transition ? transition.delay : undefined;
  if (typeof delay === 'number') return `${delay} ms`;
  return typeof delay === 'string' ? delay : (rest.split('.')[0] ?? rest);
}

/** Words of a guard: its name, or `a and b`, `a or b`, `not a` of combined ones. */
function guardName(guard: unknown): string {
  if (typeof guard === 'string') return guard;
  if (typeof guard === 'function') {
    const parts = 'guards' in guard && Array.isArray(guard.guards) ? guard.guards.map(guardName) : [];
    if (parts.length === 0) return guard.name === '' ? 'guard' : guard.name;
    return guard.name === 'not' ? `not ${parts.join(' ')}` : parts.join(` ${guard.name} `);
  }
  if (typeof guard === 'object' && guard !== null && 'type' in guard && typeof guard.type === 'string') {
    return guard.type;
  }
  return 'guard';
}

/** Names of actions; XState's own (assign, raise, cancel) keep the books and are left out. */
function namesOf(actions: unknown): readonly string[] {
  if (!Array.isArray(actions)) return [];
  return actions.flatMap((action: unknown) => {
    const name =
      typeof action === 'string'
        ? action
        : typeof action === 'object' && action !== null && 'type' in action && typeof action.type === 'string'
          ? action.type
          : '';
    return name === '' || name.startsWith('xstate.') ? [] : [name];
  });
}
