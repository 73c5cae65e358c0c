/**
 * Flushes of a primary: the local disk and the peer together. Only what both have flushed leaves
 * the activemap (SAFETY A6). Applications' flushes that arrive together share one; while nobody
 * asks, one runs by itself so that the map does not grow.
 */
import { HAST_CMD } from '../protocol/hast-message.ts';
import { ackMode } from './ack-mode.ts';
import type { EngineCore } from './core.ts';
import { reportDiskError } from './core.ts';
import type { Primary, PrimaryHost } from './primary.ts';

/**
 * While something is written, a flush runs this often by itself. Earlier ones, after so many extents, made
 * scattered writes wait for the disk all the time; later ones would leave more to copy after a crash than
 * was written in this time. ms.
 */
const OWN_FLUSH_MS = 2000;

/** What a plain hastd says every time where there is nothing to flush with: a provider without a cache, a file. */
const CANNOT: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENOTTY']);

export type FlushDone = (error: string | null) => void;
type PeerResult = 'flushed' | 'absent' | 'lost' | 'unable' | 'failed';

export class Flusher {
  readonly #core: EngineCore;
  readonly #primary: Primary;
  readonly #host: PrimaryHost;
  #running = false;
  #waiting: FlushDone[] = [];
  #internal: ((both: boolean) => void)[] = [];
  #cancelIdle: (() => void) | null = null;
  /** A failed local flush stays failed, since what it covered may be lost, until both sides have everything again. */
  #failed = false;

  constructor(core: EngineCore, primary: Primary, host: PrimaryHost) {
    this.#core = core;
    this.#primary = primary;
    this.#host = host;
  }

  /** `done` is called through the gate, when everything answered before this call is durable on both sides. */
  flush(done: FlushDone): void {
    this.#waiting.push(done);
    this.#next();
  }

  /** As flush(), past the gate. @returns true when both sides have flushed */
  flushBoth(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#internal.push(resolve);
      this.#next();
    });
  }

  /** Something was written on both sides. */
  wrote(): void {
    this.#cancelIdle ??= this.#core.ports.clock.after(OWN_FLUSH_MS, () => {
      this.#cancelIdle = null;
      if (!this.#running && this.#core.map.unflushedCount > 0) this.#next(true);
    });
  }

  stop(): void {
    this.#cancelIdle?.();
    this.#cancelIdle = null;
  }

  #next(anyway = false): void {
    if (this.#running || (this.#waiting.length + this.#internal.length === 0 && !anyway)) return;
    this.#running = true;
    const askers = this.#waiting;
    this.#waiting = [];
    const internal = this.#internal;
    this.#internal = [];
    const round = this.#core.map.takeUnflushed();
    let localError: string | null = null;
    let peer: PeerResult = 'absent';
    let parts = 2;
    const finished = (): void => {
      if (--parts > 0) return;
      this.#running = false;
      this.#settle(round, localError, peer);
      const error = localError !== null || this.#failed ? 'EIO' : null;
      const withoutPeer =
        (peer === 'absent' || peer === 'lost' || peer === 'failed') && ackMode(this.#core) !== 'async';
      for (const done of internal)
        done(localError === null && !this.#failed && (peer === 'flushed' || peer === 'unable'));
      for (const done of askers) {
        this.#primary.gate.push(
          { answer: (failure) => done(failure ?? error) },
          withoutPeer && error === null,
        );
      }
      this.#next();
    };
    this.#peerFlush((result) => {
      peer = result;
      finished();
    });
    this.#core.ports.disk.flush((error) => {
      localError = error;
      finished();
    });
  }

  #peerFlush(done: (result: PeerResult) => void): void {
    const link = this.#primary.link;
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

  #settle(round: readonly number[], localError: string | null, peer: PeerResult): void {
    const { map } = this.#core;
    const peerHas = peer === 'flushed' || peer === 'unable';
    if (localError !== null) {
      this.#core.counters.flushErrors++;
      this.#failed = true;
      reportDiskError(this.#core, 'flush', localError);
      map.settle(round, peerHas ? 'stale' : 'dirty');
      map.suspectRecent();
      if (map.staleCount > 0) void this.#host.becameStale();
      return;
    }
    if (peer === 'flushed') map.settle(round, 'flushed');
    else map.settle(round, peer === 'unable' ? 'again' : 'dirty');
    if (peerHas && map.dirtyCount === 0 && map.suspectCount === 0) this.#failed = false;
  }
}
