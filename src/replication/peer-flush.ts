/** Flushes of the peer's disk. Those who wait share one, which was sent after they asked. */
import { HAST_CMD } from '../protocol/hast-message.ts';
import type { Link } from './link.ts';

/** What a plain hastd says every time where there is nothing to flush with: a provider without a cache, a file. */
const CANNOT: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENOTTY']);

export type PeerFlushed = 'flushed' | 'absent' | 'lost' | 'unable' | 'failed';
type Done = (result: PeerFlushed) => void;

export class PeerFlush {
  readonly #link: () => Link | null;
  #running = false;
  #waiting: Done[] = [];

  constructor(link: () => Link | null) {
    this.#link = link;
  }

  /** `flushed`: what the peer has answered before this call is durable there. */
  start(done: Done): void {
    this.#waiting.push(done);
    this.#next();
  }

  #next(): void {
    if (this.#running || this.#waiting.length === 0) return;
    const askers = this.#waiting;
    this.#waiting = [];
    this.#running = true;
    this.#send((result) => {
      this.#running = false;
      for (const done of askers) done(result);
      this.#next();
    });
  }

  #send(done: Done): void {
    const link = this.#link();
    if (link === null || !link.isUp()) {
      done('absent');
      return;
    }
    link.request(HAST_CMD.FLUSH, 0, 0, null, false, {
      received: () => undefined,
      lost: () => done('lost'),
      answered: (error) => {
        if (error === null) {
          done('flushed');
          return;
        }
        if (link.words === null && CANNOT.has(error)) {
          done('unable');
          return;
        }
        // What it was to flush may be lost, and its next success says nothing of that.
        done('failed');
        link.close(`the peer failed to flush: ${error}`);
      },
    });
  }
}
