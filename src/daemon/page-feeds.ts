/** The page's two sources inside a daemon: this node itself, and the other one over the peer channel. */
import type { NodeStatus } from '../protocol/control.ts';
import type { FeedMessage, NodeFeed } from '../visualizer/feed.ts';
import type { Runtime } from './runtime.ts';

const EVERY_MS = 250;

type Listener = (message: FeedMessage) => void;

/** Calls `work` now and every 250 ms while there is a listener. */
function whileListened(
  runtime: Runtime,
  listeners: Set<Listener>,
  work: () => void,
): (listener: Listener) => () => void {
  let cancel: (() => void) | null = null;
  const again = (): void => {
    work();
    cancel = runtime.clock.after(EVERY_MS, again);
  };
  return (listener) => {
    listeners.add(listener);
    if (cancel === null) again();
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      cancel?.();
      cancel = null;
    };
  };
}

export function ownFeed(runtime: Runtime, status: () => NodeStatus): NodeFeed {
  const listeners = new Set<Listener>();
  const tell = (message: FeedMessage): void => {
    for (const listener of listeners) listener(message);
  };
  runtime.journal.follow((event) => {
    tell({ kind: 'event', event });
  });
  return {
    name: runtime.node,
    status,
    reachable: () => true,
    subscribe: whileListened(runtime, listeners, () => {
      tell({ kind: 'status', status: status() });
    }),
  };
}

export function peerFeed(runtime: Runtime, ask: () => Promise<NodeStatus>): NodeFeed {
  const listeners = new Set<Listener>();
  let last: NodeStatus | null = null;
  let reachable = false;
  let asking = false;
  const tell = (message: FeedMessage): void => {
    for (const listener of listeners) listener(message);
  };
  const poll = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    try {
      const status = await ask();
      const seen = last?.lastEvent?.seq ?? -1;
      last = status;
      reachable = true;
      tell({ kind: 'status', status });
      if (status.lastEvent !== null && status.lastEvent.seq > seen)
        tell({ kind: 'event', event: status.lastEvent });
    } catch {
      if (reachable) tell({ kind: 'unreachable' });
      reachable = false;
    } finally {
      asking = false;
    }
  };
  return {
    name: runtime.settings.peer?.name ?? 'peer',
    status: () => last,
    reachable: () => reachable,
    subscribe: whileListened(runtime, listeners, () => void poll()),
  };
}
