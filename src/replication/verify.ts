/**
 * Compares both disks of a running pair from end to end in the background: what differs is told, and on
 * demand copied from the primary to the peer. A range under comparison keeps writers out on the primary, and the
 * peer answers overlapping requests in order, so no write is seen on one disk only. Extents that are dirty are
 * known to differ and left to the resync.
 * @see SAFETY A1, A6
 */
import { BufferPool } from '../protocol/buffer-pool.ts';
import type { VerifyProgress, VerifyRange } from '../protocol/control.ts';
import { HAST_CMD } from '../protocol/hast-message.ts';
import { compareRange } from './compare-range.ts';
import type { ByteRange } from './compare-range.ts';
import type { EngineCore, VerifyRun } from './core.ts';
import { extentsOf, MAXPHYS } from './core.ts';
import { GiveWay } from './give-way.ts';
import type { Link } from './link.ts';
import { RateLimit, SyncSpeed, timeFor } from './sync-pace.ts';

/** Bytes of one comparison, and how many run at once. */
const PIECE = 4 * MAXPHYS;
const DEPTH = 4;
/** While applications write. */
const PIECE_YIELDING = 64 * 1024;
const DEPTH_YIELDING = 1;
const PROGRESS_MS = 200;
/** Differences that are told one by one, and that are kept for `status`. */
const MAX_TOLD = 100;
const MAX_RANGES = 16;

export interface VerifyOrder {
  /** Bytes per second; 0: without limit, giving way to applications. */
  readonly rate: number;
  /** Copy what differs to the peer. */
  readonly repair: boolean;
}

export interface VerifyHost {
  /** Applications have requests under way. */
  busy(): boolean;
  /** Something was written at the peer, to be flushed. */
  wrote(): void;
  /** Something became dirty. */
  dirtied(): void;
  /** A local flush failed meanwhile: this disk lacks something that the peer has. */
  becameStale(): void;
}

export class Verify implements VerifyRun {
  readonly #core: EngineCore;
  readonly #link: Link;
  readonly #host: VerifyHost;
  readonly #order: VerifyOrder;
  readonly #giveWay: GiveWay;
  readonly #limit: RateLimit;
  readonly #speed = new SyncSpeed();
  readonly #buffers = new BufferPool(DEPTH * PIECE);
  readonly #piece: number;
  readonly #startedAt: number;
  readonly #ranges: VerifyRange[] = [];
  #endedAt: number | null = null;
  #state: VerifyProgress['state'] = 'running';
  #why: string | null = null;
  #next = 0;
  #inflight = 0;
  #doneBytes = 0;
  #differences = 0;
  #differingBytes = 0;
  #repairedBytes = 0;
  #unreadBytes = 0;
  #reportedAt = 0;
  #pumping = false;
  #cancelPause: (() => void) | null = null;

  constructor(core: EngineCore, link: Link, host: VerifyHost, order: VerifyOrder) {
    const { clock } = core.ports;
    this.#core = core;
    this.#link = link;
    this.#host = host;
    this.#order = order;
    this.#giveWay = new GiveWay(
      () => clock.now(),
      () => host.busy(),
    );
    this.#limit = new RateLimit(order.rate);
    this.#piece = this.#limit.piece(Math.min(PIECE, link.maxRequest), PIECE_YIELDING);
    this.#startedAt = clock.now();
    this.#speed.start(this.#startedAt);
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  start(): void {
    const how = this.#order.repair ? 'what differs is copied to the peer' : 'what differs is only told';
    this.#core.report('verify-started', 'info', `Verification of ${this.#total} bytes started: ${how}.`);
    this.#pump();
  }

  /** The last request of applications ended, for now. */
  idle(): void {
    this.#giveWay.idle();
    this.#pump();
  }

  /** It has to be started anew, from the start. Idempotent. */
  interrupted(why: string): void {
    this.#end('interrupted', why);
  }

  /** An operator ends it. Idempotent. */
  stop(): void {
    this.#end('stopped', 'an operator ended it');
  }

  progress(now: number): VerifyProgress {
    const rate = this.running ? Math.round(this.#speed.rate(this.#doneBytes, now)) : 0;
    return {
      state: this.#state,
      why: this.#why,
      repair: this.#order.repair,
      totalBytes: this.#total,
      doneBytes: this.#doneBytes,
      differences: this.#differences,
      differingBytes: this.#differingBytes,
      repairedBytes: this.#repairedBytes,
      unreadBytes: this.#unreadBytes,
      ranges: [...this.#ranges],
      startedMsAgo: Math.round(now - this.#startedAt),
      tookMs: this.#endedAt === null ? null : Math.round(this.#endedAt - this.#startedAt),
      bytesPerSecond: rate,
      remainingMs: this.running ? timeFor(this.#total - this.#doneBytes, rate) : null,
    };
  }

  get #total(): number {
    return this.#core.store.meta.datasize;
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.running && this.#inflight < this.#depth() && this.#next < this.#total && !this.#pause())
      this.#step();
    this.#pumping = false;
    if (this.#next >= this.#total && this.#inflight === 0) this.#end('done', null);
  }

  #depth(): number {
    return this.#giveWay.yields ? DEPTH_YIELDING : DEPTH;
  }

  /** Over the limit: goes on by itself when that is over. */
  #pause(): boolean {
    if (this.#cancelPause !== null) return true;
    const { clock } = this.#core.ports;
    const wait = this.#limit.waitMs(clock.now());
    if (wait === 0) return false;
    this.#cancelPause = clock.after(wait, () => {
      this.#cancelPause = null;
      this.#pump();
    });
    return true;
  }

  /** Starts one comparison, of bytes in one extent. */
  #step(): void {
    const { extentsize } = this.#core.store.meta;
    const offset = this.#next;
    const extentEnd = (Math.floor(offset / extentsize) + 1) * extentsize;
    const most = this.#giveWay.yields ? PIECE_YIELDING : this.#piece;
    const length = Math.min(most, extentEnd - offset, this.#total - offset);
    this.#next += length;
    this.#inflight++;
    this.#limit.spend(length, this.#core.ports.clock.now());
    const hold = this.#core.locks.acquire(offset, length, false, () => {
      // Not before acquire() has returned.
      queueMicrotask(() =>
        this.#compare(offset, length, () => {
          this.#core.locks.release(hold);
          this.#inflight--;
          if (this.running) this.#doneBytes += length;
          this.#tell();
          this.#pump();
        }),
      );
    });
  }

  #compare(offset: number, length: number, done: () => void): void {
    if (!this.running || this.#isDirty(offset)) {
      done();
      return;
    }
    const local = this.#buffers.take(length);
    const finished = (): void => {
      this.#buffers.give(local);
      done();
    };
    compareRange(this.#core, this.#link, offset, local, (found) => {
      // A write that failed at the peer meanwhile has marked its extent.
      if (!this.running || found.kind === 'equal' || this.#isDirty(offset)) finished();
      else if (found.kind === 'unread') {
        this.#unreadBytes += length;
        const where = found.where === 'here' ? 'here' : 'on the peer';
        this.#say(`${length} bytes at ${offset} cannot be read ${where}: ${found.error}`, { offset, length });
        finished();
      } else if (this.#order.repair) this.#repair(offset, local, found.ranges, done);
      else {
        this.#found(found.ranges, false, '');
        finished();
      }
    });
  }

  /** As an application that writes what our disk has: marked, sent, flushed (A1, A6); then compared again. */
  #repair(offset: number, local: Buffer, ranges: readonly ByteRange[], done: () => void): void {
    const { map } = this.#core;
    const from = ranges[0]?.offset ?? offset;
    const last = ranges.at(-1);
    const to = last === undefined ? from : last.offset + last.length;
    const [firstExtent, lastExtent] = extentsOf(this.#core, from, to - from);
    const end = (outcome: 'clean' | 'dirty'): void => {
      if (map.end(firstExtent, lastExtent, outcome)) this.#host.becameStale();
    };
    const failed = (why: string): void => {
      end('dirty');
      this.#found(ranges, false, `: it is left to a resync (${why})`);
      this.#host.dirtied();
      done();
    };
    map.begin(firstExtent, lastExtent, (error) => {
      if (error !== null) {
        failed(`the map cannot be written: ${error}`);
        return;
      }
      const data = local.subarray(from - offset, to - offset);
      this.#link.request(HAST_CMD.WRITE, from, data.length, data, false, {
        received: () => undefined,
        lost: () => failed('the data link went down'),
        answered: (failure) => {
          if (failure !== null) {
            failed(`the peer failed to write: ${failure}`);
            // As for any write: a hastate peer that refused one is out until it was resynced.
            if (this.#link.words !== null) this.#link.close(`the peer failed to write: ${failure}`);
            return;
          }
          end('clean');
          this.#host.wrote();
          compareRange(this.#core, this.#link, offset, local, (again) => {
            const ok = again.kind === 'equal';
            this.#found(
              ranges,
              ok,
              ok ? ', repaired' : ', and still after it was copied: the disk of the peer lies',
            );
            this.#buffers.give(local);
            done();
          });
        },
      });
    });
  }

  #found(ranges: readonly ByteRange[], repaired: boolean, outcome: string): void {
    for (const { offset, length } of ranges) {
      this.#differences++;
      this.#differingBytes += length;
      if (repaired) this.#repairedBytes += length;
      if (this.#ranges.length < MAX_RANGES) this.#ranges.push({ offset, length, repaired });
      if (this.#differences <= MAX_TOLD)
        this.#say(`the disks differ in ${length} bytes at ${offset}${outcome}`, { offset, length, repaired });
    }
  }

  #say(text: string, data: Readonly<Record<string, unknown>>): void {
    this.#core.report('verify-difference', 'error', `${this.#core.setup.resource.name}: ${text}`, data);
  }

  #isDirty(offset: number): boolean {
    const [extent] = extentsOf(this.#core, offset, 1);
    return this.#core.map.isDirty(extent);
  }

  #tell(): void {
    const now = this.#core.ports.clock.now();
    this.#speed.note(this.#doneBytes, now);
    if (!this.running || now - this.#reportedAt < PROGRESS_MS) return;
    this.#reportedAt = now;
    this.#core.report('verify-progress', 'debug', `${this.#doneBytes} bytes verified.`);
  }

  #end(state: 'done' | 'interrupted' | 'stopped', why: string | null): void {
    if (!this.running) return;
    const now = this.#core.ports.clock.now();
    this.#state = state;
    this.#why = why;
    this.#endedAt = now;
    this.#cancelPause?.();
    const { differences, differingBytes, repairedBytes, unreadBytes } = this.progress(now);
    const found = `${differences} differences, ${differingBytes} bytes, ${repairedBytes} of them repaired`;
    const unread = unreadBytes === 0 ? '' : `; ${unreadBytes} bytes could not be compared`;
    const bad = differences > 0 || unreadBytes > 0;
    const done = `Verification complete in ${Math.round(now - this.#startedAt)} ms: ${found}${unread}.`;
    const cut = `Verification ended after ${this.#doneBytes} of ${this.#total} bytes (${why ?? ''}): ${found}${unread}. It starts anew when asked again.`;
    this.#core.report(
      state === 'done' ? 'verify-done' : 'verify-interrupted',
      bad || state === 'interrupted' ? 'warn' : 'info',
      state === 'done' ? done : cut,
      { differences, differingBytes, repairedBytes, unreadBytes },
    );
  }
}
