/** Where the page's server gets a node's state from. */
import type { JournalEvent, NodeStatus } from '../protocol/control.ts';

export type FeedMessage =
  | { readonly kind: 'status'; readonly status: NodeStatus }
  | { readonly kind: 'event'; readonly event: JournalEvent }
  /** The node stopped answering; its last status stays known. */
  | { readonly kind: 'unreachable' };

export interface NodeFeed {
  readonly name: string;
  /** The last that was heard, or null. */
  status(): NodeStatus | null;
  reachable(): boolean;
  /** The result ends the subscription. A feed holds resources only while it has subscribers. */
  subscribe(listener: (message: FeedMessage) => void): () => void;
}

export type VisualizerLog = (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;
