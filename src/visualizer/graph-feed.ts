/** What the server tells the page about one node. Types only. */
import type { JournalEvent, NodeStatus } from '../protocol/control.ts';

/** Body of an SSE `state` message, and an element of `/api/state`. */
export interface FeedState {
  readonly name: string;
  /** ms since the node stopped answering, or null while it answers. */
  readonly unreachableMs: number | null;
  /** The last that was heard; null when the node never answered. */
  readonly status: NodeStatus | null;
}

/** Body of an SSE `journal` message: events, oldest first, with the feed they came by. */
export type FeedEvents = readonly FeedEvent[];

export interface FeedEvent {
  readonly feed: string;
  readonly event: JournalEvent;
}
