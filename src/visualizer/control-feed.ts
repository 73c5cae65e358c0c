/**
 * Follows one daemon over its control socket: its journal as it is written, its status twice
 * a second and right after each event. Reconnects for ever while somebody listens.
 */
import type { JournalEvent, NodeStatus } from '../protocol/control.ts';
import { connectControl } from './control-connection.ts';
import type { ControlConnection } from './control-connection.ts';
import type { FeedMessage, NodeFeed } from './feed.ts';

const POLL_MS = 500;
const AFTER_EVENT_MS = 60;
/** A daemon that took a request and says nothing for this long is stuck. */
const ANSWER_MS = 3000;
const RECONNECT_MIN_MS = 200;
const RECONNECT_MAX_MS = 1000;

/**
 * @param name of the node, shown until it has told its own
 * @param socketPath hast.conf's `control`
 */
export function controlFeed(name: string, socketPath: string): NodeFeed {
  return new ControlFeed(name, socketPath);
}

class ControlFeed implements NodeFeed {
  readonly name: string;
  readonly #path: string;
  readonly #listeners = new Set<(message: FeedMessage) => void>();
  #status: NodeStatus | null = null;
  #reachable = false;
  #connection: ControlConnection | null = null;
  #timer: NodeJS.Timeout | null = null;
  #deadline: NodeJS.Timeout | null = null;
  #retryMs = RECONNECT_MIN_MS;
  /** Newest journal entry seen: a new connection tells the journal from its beginning. */
  #newest = { boot: '', seq: 0 };

  constructor(name: string, path: string) {
    this.name = name;
    this.#path = path;
  }

  status(): NodeStatus | null {
    return this.#status;
  }

  reachable(): boolean {
    return this.#reachable;
  }

  subscribe(listener: (message: FeedMessage) => void): () => void {
    // A wrapper of its own, so that one function may subscribe twice.
    const own = (message: FeedMessage): void => listener(message);
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.#connect();
    return () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#end();
    };
  }

  #connect(): void {
    this.#timer = null;
    // What an ended connection still says is nobody's: the next one may be open already.
    const ifCurrent =
      <Told extends unknown[]>(act: (...told: Told) => void) =>
      (...told: Told): void => {
        if (this.#connection === connection) act(...told);
      };
    const connection = connectControl(this.#path, {
      opened: ifCurrent(() => this.#ask()),
      status: ifCurrent((status: NodeStatus) => this.#heard(status)),
      event: ifCurrent((event: JournalEvent) => this.#tellEvent(event)),
      closed: ifCurrent(() => this.#lost()),
    });
    this.#connection = connection;
  }

  #ask(): void {
    this.#timer = null;
    if (this.#deadline !== null) return;
    this.#deadline = setTimeout(() => this.#connection?.close(), ANSWER_MS);
    this.#connection?.askStatus();
  }

  #heard(status: NodeStatus): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#deadline = null;
    this.#retryMs = RECONNECT_MIN_MS;
    this.#reachable = true;
    const restarted = status.boot !== this.#newest.boot;
    if (restarted) this.#newest = { boot: status.boot, seq: 0 };
    this.#status = status;
    this.#tell({ kind: 'status', status });
    // Only now is it known whether the journal goes on or begins anew.
    this.#connection?.followEvents();
    this.#askIn(POLL_MS);
  }

  #tellEvent(event: JournalEvent): void {
    if (event.seq <= this.#newest.seq) return;
    this.#newest = { ...this.#newest, seq: event.seq };
    this.#tell({ kind: 'event', event });
    if (this.#deadline === null) this.#askIn(AFTER_EVENT_MS);
  }

  #askIn(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), ms);
  }

  #lost(): void {
    this.#stopTimers();
    this.#connection = null;
    if (this.#reachable) {
      this.#reachable = false;
      this.#tell({ kind: 'unreachable' });
    }
    if (this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(RECONNECT_MAX_MS, this.#retryMs * 1.5);
  }

  #tell(message: FeedMessage): void {
    for (const listener of this.#listeners) listener(message);
  }

  #stopTimers(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#timer = null;
    this.#deadline = null;
  }

  #end(): void {
    this.#stopTimers();
    this.#connection?.close();
    this.#connection = null;
    this.#reachable = false;
    this.#newest = { boot: '', seq: 0 };
  }
}
