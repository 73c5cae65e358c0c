/**
 * Copies dirty extents, each in the direction that its good copy is on, several requests in
 * flight, and gives way to applications. A failed piece leaves its extent dirty (hast.md 13.4).
 * @see hast.md section 7 "Sync loop"
 */
import { BufferPool } from '../protocol/buffer-pool.ts';
import { HAST_CMD } from '../protocol/hast-message.ts';
import type { SyncProgress } from '../protocol/control.ts';
import type { EngineCore } from './core.ts';
import { MAXPHYS, reportDiskError } from './core.ts';
import { GiveWay } from './give-way.ts';
import type { Link } from './link.ts';
import { RateLimit, SyncSpeed, timeFor } from './sync-pace.ts';

/** Bytes of one request where the peer takes so much, and of all in flight. */
const PIECE = 4 * MAXPHYS;
const IN_FLIGHT = 16 * MAXPHYS;
/** Requests in flight: where they are small, to a plain hastd as hastd itself does, and while applications write. */
const DEPTH = 16;
const DEPTH_HASTD = 2;
const DEPTH_YIELDING = 1;
/** Bytes of one request while applications write. */
const PIECE_YIELDING = 64 * 1024;
const RETRY_MS = 1000;
const PROGRESS_MS = 200;

export interface ResyncHost {
  /** Applications have requests under way. */
  busy(): boolean;
  /** Nothing is dirty any more; called at the end of a turn without work. */
  clean(): void;
}

interface Copy {
  readonly extent: number;
  readonly toPeer: boolean;
  readonly end: number;
  next: number;
  pieces: number;
  failed: boolean;
}

export class Resync {
  readonly #core: EngineCore;
  readonly #link: Link;
  readonly #host: ResyncHost;
  #stopped = false;
  #current: Copy | null = null;
  #cursor = 0;
  #failures = 0;
  #inflight = 0;
  #inflightBytes = 0;
  #pumping = false;
  #cancelRetry: (() => void) | null = null;
  #startedAt: number | null = null;
  #reportedAt = 0;
  #doneBytes = 0;
  /** Also of extents that are not done yet. */
  #copiedBytes = 0;
  #fromPeer = false;
  #active = 0;
  readonly #buffers = new BufferPool(IN_FLIGHT);
  readonly #piece: number;
  readonly #limit: RateLimit;
  readonly #speed = new SyncSpeed();
  #cancelPause: (() => void) | null = null;
  readonly #giveWay: GiveWay;

  constructor(core: EngineCore, link: Link, host: ResyncHost) {
    this.#core = core;
    this.#link = link;
    this.#host = host;
    this.#giveWay = new GiveWay(
      () => core.ports.clock.now(),
      () => host.busy(),
    );
    this.#limit = new RateLimit(core.setup.resyncRate ?? 0);
    this.#piece = this.#limit.piece(Math.min(PIECE, link.maxRequest), PIECE_YIELDING);
  }

  get running(): boolean {
    return this.#startedAt !== null;
  }

  progress(now: number): SyncProgress | null {
    if (this.#startedAt === null) return null;
    const left = this.#core.map.dirtyCount * this.#core.store.meta.extentsize;
    const bytesPerSecond = Math.round(this.#speed.rate(this.#copiedBytes, now));
    return {
      direction: this.#fromPeer ? 'fromPeer' : 'toPeer',
      totalBytes: this.#doneBytes + left,
      doneBytes: this.#doneBytes,
      startedMsAgo: Math.round(now - this.#startedAt),
      bytesPerSecond,
      remainingMs: timeFor(left, bytesPerSecond),
    };
  }

  /** Looks for work; call it whenever something became dirty or an application's request ended. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const hastd = this.#link.words === null;
    while (
      !this.#stopped &&
      this.#link.isUp() &&
      this.#inflight < this.#depth(hastd) &&
      this.#inflightBytes < IN_FLIGHT &&
      !this.#pause() &&
      this.#step()
    ) {
      /* as deep and as fast as allowed */
    }
    this.#pumping = false;
    if (!this.#stopped && this.#link.isUp() && this.#inflight === 0 && this.#core.map.dirtyCount === 0)
      this.#finish();
  }

  /** The last request of applications ended, for now. */
  idle(): void {
    this.#giveWay.idle();
    this.pump();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelPause?.();
    if (this.#startedAt === null) return;
    this.#startedAt = null;
    this.#core.report(
      'sync-interrupted',
      'warn',
      `Synchronization interrupted. ${this.#doneBytes} bytes synchronized so far.`,
    );
  }

  #depth(hastd: boolean): number {
    if (this.#giveWay.yields) return DEPTH_YIELDING;
    return hastd ? DEPTH_HASTD : DEPTH;
  }

  /** Over the limit: goes on by itself when that is over. */
  #pause(): boolean {
    if (this.#cancelPause !== null) return true;
    const { clock } = this.#core.ports;
    const wait = this.#limit.waitMs(clock.now());
    if (wait === 0) return false;
    this.#cancelPause = clock.after(wait, () => {
      this.#cancelPause = null;
      this.pump();
    });
    return true;
  }

  /** Starts one request. @returns false when there is nothing to start now */
  #step(): boolean {
    const copy = this.#current ?? this.#nextExtent();
    if (copy === null) return false;
    this.#current = copy;
    const offset = copy.next;
    const length = Math.min(this.#giveWay.yields ? PIECE_YIELDING : this.#piece, copy.end - offset);
    copy.next += length;
    copy.pieces++;
    if (copy.next >= copy.end) this.#current = null;
    this.#inflight++;
    this.#inflightBytes += length;
    this.#limit.spend(length, this.#core.ports.clock.now());
    const hold = this.#core.locks.acquire(offset, length, true, () => {
      const done = (ok: boolean): void => {
        this.#core.locks.release(hold);
        this.#inflightBytes -= length;
        if (ok) this.#copiedBytes += length;
        this.#pieceDone(copy, ok);
      };
      queueMicrotask(() => {
        if (this.#stopped || !this.#link.isUp()) done(false);
        else if (copy.toPeer) this.#toPeer(copy.extent, offset, length, done);
        else this.#fromPeerPiece(offset, length, done);
      });
    });
    return true;
  }

  #nextExtent(): Copy | null {
    const { map, store } = this.#core;
    if (this.#cancelRetry !== null) return null;
    const extent = map.nextDirty(this.#cursor);
    if (extent < 0) {
      if (this.#failures > 0 || this.#cursor > 0) this.#rewind();
      return null;
    }
    this.#cursor = extent + 1;
    const toPeer = !map.isStale(extent);
    this.#start(toPeer);
    map.watch(extent);
    this.#active++;
    const start = extent * store.meta.extentsize;
    const end = Math.min(store.meta.datasize, start + store.meta.extentsize);
    return { extent, toPeer, end, next: start, pieces: 0, failed: false };
  }

  /** The end of the map was reached: what is dirty again or failed comes next round. */
  #rewind(): void {
    if (this.#active > 0) return;
    this.#cursor = 0;
    const wait = this.#failures > 0 ? RETRY_MS : 0;
    this.#failures = 0;
    if (this.#core.map.dirtyCount === 0) return;
    this.#cancelRetry = this.#core.ports.clock.after(wait, () => {
      this.#cancelRetry = null;
      this.pump();
    });
  }

  #start(toPeer: boolean): void {
    if (this.#startedAt !== null) return;
    this.#fromPeer = !toPeer;
    this.#startedAt = this.#core.ports.clock.now();
    this.#copiedBytes = 0;
    this.#speed.start(this.#startedAt);
    const bytes = this.#core.map.dirtyCount * this.#core.store.meta.extentsize;
    this.#core.report(
      'sync-started',
      'info',
      `Synchronization started, ${toPeer ? 'to' : 'from'} the peer: ${bytes} bytes to go.`,
    );
  }

  #toPeer(extent: number, offset: number, length: number, done: (ok: boolean) => void): void {
    const data = this.#buffers.take(length);
    this.#core.ports.disk.read(this.#core.store.meta.offset + offset, data, (error) => {
      if (error !== null) {
        this.#core.counters.readErrors++;
        reportDiskError(this.#core, 'read', error);
        done(false);
        return;
      }
      // The peer's copy became the good one while this one was read.
      if (this.#stopped || this.#core.map.isStale(extent)) {
        this.#buffers.give(data);
        done(false);
        return;
      }
      this.#link.request(HAST_CMD.WRITE, offset, length, data, false, {
        received: () => undefined,
        answered: (failure) => {
          this.#buffers.give(data);
          done(failure === null);
        },
        // A dead link may still be sending it.
        lost: () => done(false),
      });
    });
  }

  #fromPeerPiece(offset: number, length: number, done: (ok: boolean) => void): void {
    this.#link.request(HAST_CMD.READ, offset, length, null, false, {
      received: () => undefined,
      lost: () => done(false),
      answered: (failure, data) => {
        if (failure !== null || data === null) {
          done(false);
          return;
        }
        this.#core.ports.disk.write(this.#core.store.meta.offset + offset, data, (error) => {
          if (error !== null) {
            this.#core.counters.writeErrors++;
            reportDiskError(this.#core, 'write', error);
          }
          done(error === null);
        });
      },
    });
  }

  #pieceDone(copy: Copy, ok: boolean): void {
    this.#inflight--;
    copy.pieces--;
    if (!ok) copy.failed = true;
    if (copy.pieces === 0 && copy.next >= copy.end) {
      this.#active--;
      if (this.#core.map.copied(copy.extent, !copy.failed)) {
        this.#doneBytes += copy.end - copy.extent * this.#core.store.meta.extentsize;
      } else if (copy.failed) this.#failures++;
      this.#tell();
    }
    this.pump();
  }

  #tell(): void {
    const now = this.#core.ports.clock.now();
    this.#speed.note(this.#copiedBytes, now);
    if (this.#stopped || now - this.#reportedAt < PROGRESS_MS) return;
    this.#reportedAt = now;
    this.#core.report('sync-progress', 'debug', `${this.#doneBytes} bytes synchronized.`);
  }

  #finish(): void {
    this.#cursor = 0;
    this.#host.clean();
  }

  /** The two sides are equal: says so once. */
  done(): void {
    if (this.#startedAt === null) return;
    const ms = Math.round(this.#core.ports.clock.now() - this.#startedAt);
    this.#startedAt = null;
    this.#core.report(
      'sync-done',
      'info',
      `Synchronization complete. ${this.#doneBytes} bytes synchronized in ${ms} ms.`,
      { bytes: this.#doneBytes, ms },
    );
    this.#doneBytes = 0;
  }
}
