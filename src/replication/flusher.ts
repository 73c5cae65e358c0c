/**
 * Flushes of a primary: the local disk and the peer together. Only what both have flushed leaves
 * the activemap (SAFETY A6). Applications' flushes that arrive together share one; while nobody
 * asks, one runs by itself so that the map does not grow.
 */
import { ackMode } from './ack-mode.ts';
import type { FlushRound } from './activemap.ts';
import type { EngineCore } from './core.ts';
import { reportDiskError } from './core.ts';
import { PeerFlush } from './peer-flush.ts';
import type { PeerFlushed } from './peer-flush.ts';
import type { Primary, PrimaryHost } from './primary.ts';

/**
 * While something is written, a flush runs this often by itself. Earlier ones, after so many extents, made
 * scattered writes wait for the disk all the time; later ones would leave more to copy after a crash than
 * was written in this time. ms.
 */
const OWN_FLUSH_MS = 2000;

const NOTHING: FlushRound = { both: [], cut: [] };

export type FlushDone = (error: string | null) => void;

export class Flusher {
  readonly #core: EngineCore;
  readonly #primary: Primary;
  readonly #host: PrimaryHost;
  readonly #peer: PeerFlush;
  #running = false;
  #waiting: FlushDone[] = [];
  #internal: ((good: boolean, there: boolean, here: boolean) => void)[] = [];
  #cancelIdle: (() => void) | null = null;
  /** A failed local flush stays failed, since what it covered may be lost, until it is known to be here again. */
  #failed = false;

  constructor(core: EngineCore, primary: Primary, host: PrimaryHost) {
    this.#core = core;
    this.#primary = primary;
    this.#host = host;
    this.#peer = new PeerFlush(() => primary.link);
  }

  /** `done` is called through the gate, when everything answered before this call is durable on both sides. */
  flush(done: FlushDone): void {
    this.#waiting.push(done);
    this.#next();
  }

  /** As flush(), past the gate. @returns true when both sides have flushed */
  flushBoth(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#internal.push((good, there) => resolve(there && (good || this.#core.store.givenUp)));
      this.#next();
    });
  }

  /** As flushBoth(), of the local disk: what counts as ours is durable, and no failed flush took any of it. */
  flushHere(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#internal.push((_good, _there, here) => resolve(here && !this.#core.map.ownLost));
      this.#next();
    });
  }

  /** The peer's disk alone. `then` runs before anything else that the peer said is read: the link may end with that. */
  flushPeer(then: (result: PeerFlushed) => void = () => undefined): Promise<PeerFlushed> {
    return new Promise((resolve) =>
      this.#peer.start((result) => {
        then(result);
        resolve(result);
      }),
    );
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
    const { givenUp } = this.#core.store;
    const round = givenUp ? NOTHING : this.#core.map.takeUnflushed();
    let localError: string | null = null;
    let peer: PeerFlushed = 'absent';
    let parts = 2;
    const finished = (): void => {
      if (--parts > 0) return;
      this.#running = false;
      if (!givenUp) this.#settle(round, localError, peer);
      const good = localError === null && !this.#failed;
      const peerHas = peer === 'flushed' || peer === 'unable';
      for (const done of internal) done(good, peerHas, localError === null);
      if (good) this.#answer(askers, null, !peerHas && ackMode(this.#core) !== 'async');
      else if (peer !== 'flushed' || askers.length === 0) this.#answer(askers, 'EIO', false);
      else void this.#host.standsIn().then((ok) => this.#answer(askers, ok ? null : 'EIO', false));
      this.#next();
    };
    this.#peer.start((result) => {
      peer = result;
      finished();
    });
    const local = (error: string | null): void => {
      localError = error;
      finished();
    };
    if (givenUp) local('EIO');
    else this.#core.ports.disk.flush(local);
  }

  #answer(askers: readonly FlushDone[], error: string | null, withoutPeer: boolean): void {
    for (const done of askers)
      this.#primary.gate.push({ answer: (failure) => done(failure ?? error) }, withoutPeer);
  }

  #settle(round: FlushRound, localError: string | null, peer: PeerFlushed): void {
    const { map } = this.#core;
    const peerHas = peer === 'flushed' || peer === 'unable';
    if (localError !== null) {
      this.#core.counters.flushErrors++;
      this.#failed = true;
      reportDiskError(this.#core, 'flush', localError);
      // Both had it before the link died. Where the peer's flush failed, too, its copy is no better.
      let overwrites = false;
      if (peer === 'failed') map.settle(round, 'lost');
      else overwrites = map.settleLost(round, peerHas);
      map.suspectRecent();
      // Written here, perhaps lost with the rest, and not acknowledged yet.
      if (!peerHas || overwrites) this.#primary.gate.failAlone('EIO');
      if (map.staleCount > 0) void this.#host.lean();
      return;
    }
    if (peer === 'flushed') map.settle(round, 'flushed');
    else map.settle(round, peer === 'unable' ? 'again' : 'dirty');
    if (map.suspectCount > 0) return;
    // Both sides have the same again, whatever that is, or will have what the peer has.
    if (peerHas && map.dirtyCount === map.staleCount) map.ownLost = false;
    // All that it took was stale, and came back from the peer.
    if (map.staleCount === 0 && !map.ownLost) this.#failed = false;
  }
}
