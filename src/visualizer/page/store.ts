/** What the page knows. Filled by the server's events, read by the components. */
import type { ChartLayouts } from '../graph.ts';
import type { FeedEvent, FeedEvents, FeedState } from '../graph-feed.ts';
import type { ChartSnapshot, NodeStatus } from '../../protocol/control.ts';

export interface NodeView {
  readonly name: string;
  readonly status: NodeStatus | null;
  /** Since when (ms of `performance.now()`) the node does not answer, or null. */
  readonly unreachableSince: number | null;
  /** State values before the present ones, by chart id. */
  readonly before: Readonly<Record<string, unknown>>;
  /** When the status came, ms of `performance.now()`. */
  readonly receivedAt: number;
}

export interface PageState {
  readonly link: 'connecting' | 'live' | 'lost';
  readonly layouts: ChartLayouts;
  readonly nodes: readonly NodeView[];
  /** Of both nodes, oldest first by wall time. */
  readonly events: readonly FeedEvent[];
}

export const EMPTY: PageState = { link: 'connecting', layouts: {}, nodes: [], events: [] };
const KEPT_EVENTS = 1000;

export function withLink(state: PageState, link: PageState['link']): PageState {
  return state.link === link ? state : { ...state, link };
}

/** Takes in the state of one node; nodes stay in the order in which they were first told. */
export function withNode(state: PageState, feed: FeedState, now: number): PageState {
  const known = state.nodes.find(({ name }) => name === feed.name);
  const view: NodeView = {
    name: feed.name,
    status: feed.status,
    unreachableSince: feed.unreachableMs === null ? null : now - feed.unreachableMs,
    before: rememberBefore(known, feed.status),
    receivedAt: now,
  };
  const nodes =
    known === undefined ? [...state.nodes, view] : state.nodes.map((node) => (node === known ? view : node));
  return { ...state, link: 'live', nodes };
}

function rememberBefore(known: NodeView | undefined, status: NodeStatus | null): Record<string, unknown> {
  const before: Record<string, unknown> = {};
  for (const chart of status?.charts ?? []) {
    const old = chartOf(known, chart.id);
    // Another life of the daemon starts its charts anew.
    if (old === null || known?.status?.boot !== status?.boot) continue;
    before[chart.id] =
      JSON.stringify(old.value) === JSON.stringify(chart.value) ? known?.before[chart.id] : old.value;
  }
  return before;
}

export function chartOf(node: NodeView | undefined, id: string): ChartSnapshot | null {
  return node?.status?.charts.find((chart) => chart.id === id) ?? null;
}

/** Merges by wall time; what is told twice (a reconnect tells the last ones again) is kept once. */
export function withEvents(state: PageState, added: FeedEvents): PageState {
  const byKey = new Map([...state.events, ...added].map((entry) => [eventKey(entry), entry]));
  const events = [...byKey.values()].sort(
    (a, b) => Date.parse(a.event.time) - Date.parse(b.event.time) || a.event.seq - b.event.seq,
  );
  return { ...state, events: events.slice(-KEPT_EVENTS) };
}

export function eventKey({ feed, event }: FeedEvent): string {
  return `${feed} ${event.time} ${event.seq}`;
}
