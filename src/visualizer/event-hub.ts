/** Tells every open page what the feeds say, by server-sent events. */
import type { ServerResponse } from 'node:http';

import type { NodeFeed, VisualizerLog, FeedMessage } from './feed.ts';
import type { FeedEvent, FeedState } from './graph-feed.ts';

const MAX_CLIENTS = 32;
const KEPT_EVENTS = 500;
/** A page that leaves this much unread is dropped; it comes back by itself and gets the present state. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const HEARTBEAT_MS = 15_000;
/** A resync says where it is several times a second; the page has a bar for that. */
const SILENT_KINDS: ReadonlySet<string> = new Set(['engine.sync-progress']);

interface Followed {
  readonly feed: NodeFeed;
  /** When it was last known to answer, ms of `performance.now()`. */
  heardAt: number;
}

export class EventHub {
  readonly #log: VisualizerLog;
  readonly #followed: Followed[] = [];
  readonly #clients = new Set<ServerResponse>();
  readonly #events: FeedEvent[] = [];
  readonly #ends: (() => void)[] = [];
  readonly #heartbeat: NodeJS.Timeout;

  constructor(log: VisualizerLog) {
    this.#log = log;
    this.#heartbeat = setInterval(() => this.#write(': alive\n\n'), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  follow(feeds: readonly NodeFeed[]): void {
    for (const feed of feeds) {
      const followed = { feed, heardAt: performance.now() };
      this.#followed.push(followed);
      this.#ends.push(feed.subscribe((message) => this.#hear(followed, message)));
    }
  }

  states(): readonly FeedState[] {
    return this.#followed.map(stateOf);
  }

  /** Makes the response a stream of events. @returns false when too many are open already */
  admit(response: ServerResponse): boolean {
    if (this.#clients.size >= MAX_CLIENTS) return false;
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', Connection: 'keep-alive' });
    response.on('close', () => this.#clients.delete(response));
    // 'close' follows.
    response.on('error', () => undefined);
    this.#clients.add(response);
    for (const followed of this.#followed) response.write(frame('state', stateOf(followed)));
    response.write(frame('journal', this.#events));
    return true;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const end of this.#ends) end();
    for (const client of this.#clients) client.destroy();
    this.#clients.clear();
  }

  #hear(followed: Followed, message: FeedMessage): void {
    if (message.kind === 'event') {
      if (SILENT_KINDS.has(message.event.kind)) return;
      const entry = { feed: followed.feed.name, event: message.event };
      this.#events.push(entry);
      if (this.#events.length > KEPT_EVENTS) this.#events.shift();
      this.#write(frame('journal', [entry]));
      return;
    }
    followed.heardAt = performance.now();
    this.#write(frame('state', stateOf(followed)));
  }

  #write(text: string): void {
    for (const client of this.#clients) {
      if (client.writableLength > MAX_UNSENT_BYTES) {
        this.#clients.delete(client);
        client.destroy();
        this.#log('info', `dropped a page that left ${client.writableLength} bytes unread`);
      } else {
        client.write(text);
      }
    }
  }
}

function stateOf({ feed, heardAt }: Followed): FeedState {
  return {
    name: feed.name,
    unreachableMs: feed.reachable() ? null : Math.round(performance.now() - heardAt),
    status: feed.status(),
  };
}

function frame(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
