/**
 * Decides which transitions are drawn as lines and which are written into their state.
 * Two dozen lines that all end in the same corner hide the one that matters, so failures and
 * ways to the end are words. Nothing is left out: each transition with a target is in one of the two.
 */
import type { ChartGraph, ChartTransition, ListedExit } from './graph.ts';
import { transitionLabel } from './graph.ts';

/** All transitions from one state to one other. */
export interface Way {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly transitions: readonly string[];
  readonly labels: readonly string[];
}

/** Above this many lines a chart is busy, and ways back and ways into the inside of another state become words too. */
const BUSY = 16;
/** In a busy chart, this many lines may end in one state. */
const HUB = 3;

export function sortWays(graph: ChartGraph): {
  readonly drawn: readonly Way[];
  readonly listed: readonly ListedExit[];
} {
  const order = new Map(graph.states.map(({ path }, index) => [path, index]));
  const all = waysBetween(graph).map((transitions) => ({ way: describeWay(transitions), transitions }));
  const plain = all.filter(({ transitions }) => !isExceptional(graph, transitions)).map(({ way }) => way);
  const drawn =
    plain.length <= BUSY
      ? plain
      : thinHubs(
          plain.filter((way) => !leadsAway(order, way)),
          order,
        );
  return {
    drawn: drawn.map(completion),
    listed: all.filter(({ way }) => !drawn.includes(way)).map(({ way }) => listExit(graph, way)),
  };
}

/** As in UML, a line without words is taken when what the state does is done. */
function completion(way: Way): Way {
  return way.labels.length === 1 && way.labels[0] === 'done' ? { ...way, labels: [] } : way;
}

function parentOf(path: string): string {
  return path.split('.').slice(0, -1).join('.');
}

/** Back to an earlier state elsewhere or at the top, or into the inside of another state. */
function leadsAway(order: ReadonlyMap<string, number>, { source, target }: Way): boolean {
  const siblings = parentOf(source) === parentOf(target);
  const back = (order.get(target) ?? 0) < (order.get(source) ?? 0);
  if (siblings) return back && parentOf(target) === '';
  return back || parentOf(target) !== '';
}

/** Of many ways into one state the one from the nearest state before it stays a line. */
function thinHubs(ways: readonly Way[], order: ReadonlyMap<string, number>): readonly Way[] {
  const distance = ({ source, target }: Way): number =>
    Math.abs((order.get(target) ?? 0) - (order.get(source) ?? 0));
  return ways.filter((way) => {
    const rivals = ways.filter(({ target }) => target === way.target);
    return rivals.length <= HUB || rivals.every((rival) => distance(way) <= distance(rival));
  });
}

function waysBetween(graph: ChartGraph): readonly (readonly ChartTransition[])[] {
  const byPair = new Map<string, ChartTransition[]>();
  for (const transition of graph.transitions) {
    if (transition.target === null) continue;
    const pair = `${transition.source}>${transition.target}`;
    byPair.set(pair, [...(byPair.get(pair) ?? []), transition]);
  }
  return [...byPair.values()];
}

function describeWay(transitions: readonly ChartTransition[]): Way {
  const source = transitions[0]?.source ?? '';
  const target = transitions[0]?.target ?? '';
  return {
    id: `${source}>${target}`,
    source,
    target,
    transitions: transitions.map(({ id }) => id),
    labels: [...new Set(transitions.map(transitionLabel))],
  };
}

function isExceptional(graph: ChartGraph, transitions: readonly ChartTransition[]): boolean {
  const { source, target } = transitions[0] ?? { source: '', target: null };
  if (source === '' || target === null || target === source) return true;
  if (target.startsWith(`${source}.`)) return true;
  if (transitions.every(({ trigger }) => trigger.kind === 'error')) return true;
  return graph.states.some(({ path, parent, kind }) => path === target && parent === '' && kind === 'final');
}

function listExit(graph: ChartGraph, way: Way): ListedExit {
  const { id, source, target, transitions } = way;
  return {
    id,
    source,
    target,
    transitions,
    text: `${way.labels.join(', ')} → ${nearName(graph, source, target)}`,
  };
}

/** The last part of a path is enough beside a sibling or where it is the only state of that name. */
function nearName(graph: ChartGraph, source: string, target: string): string {
  if (source === target) return 'again';
  const key = target.split('.').at(-1) ?? target;
  return graph.states.filter((state) => state.key === key).length === 1 ? key : target;
}
