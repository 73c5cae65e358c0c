/**
 * Which extents may differ between the two disks, in memory and on disk. A set bit is on disk
 * before anything is written under it (SAFETY A1); commits are grouped, one write is in flight.
 * Errs on the side of a set bit: it costs a copy, a missing one costs data.
 * @see hast.md sections 2 and 7, SAFETY A1, A6, A7
 */
import type { IoResult } from './ports.ts';
import { RecentExtents } from './recent-extents.ts';

/** The other disk lacks this extent, or may lack it. */
const DIRTY = 1;
/** Written on both sides and not flushed since. */
const UNFLUSHED = 2;
/** A flush that covers the write is under way. */
const FLUSHING = 4;
/** Only the other side's copy is good. */
const STALE = 8;
/** Among the last `keepdirty` extents that were written. */
const KEPT = 16;
/** A write under way may have lost what it put on the local disk. */
const SUSPECT = 32;

export interface ActiveMapSetup {
  readonly extents: number;
  readonly keepdirty: number;
  /** Bytes of the map that are written: the bits, rounded up to sectors. */
  readonly imageBytes: number;
  readonly sectorBytes: number;
  /** Durable write at an offset of the map region. */
  readonly store: (offset: number, data: Buffer, done: (error: IoResult) => void) => void;
}

/** Extents that one flush covers. */
export type FlushRound = readonly number[];

export class ActiveMap {
  readonly extents: number;
  /** How often the map was written. */
  updates = 0;
  /** A failed flush may have taken what only the local disk has, or it is not known what it took. */
  ownLost = false;
  readonly #setup: ActiveMapSetup;
  readonly #flags: Uint8Array;
  readonly #inflight: Uint32Array;
  /** What the disk should hold, and what it certainly holds. */
  readonly #image: Buffer;
  readonly #durable: Buffer;
  readonly #kept: RecentExtents;
  #unflushed = new Set<number>();
  /** Stale, and perhaps not flushed on the other side. */
  readonly #unsure = new Set<number>();
  #dirtyCount = 0;
  #staleCount = 0;
  #suspectCount = 0;
  #changedFrom = Number.MAX_SAFE_INTEGER;
  #changedTo = -1;
  #waiting: ((error: IoResult) => void)[] = [];
  #writing = false;
  #kicked = false;
  #abandoned = false;
  /** Extents that became dirty while something copies them. */
  readonly #watched = new Map<number, boolean>();

  constructor(setup: ActiveMapSetup) {
    this.#setup = setup;
    this.extents = setup.extents;
    this.#flags = new Uint8Array(setup.extents);
    this.#inflight = new Uint32Array(setup.extents);
    this.#image = Buffer.alloc(setup.imageBytes);
    this.#durable = Buffer.alloc(setup.imageBytes);
    this.#kept = new RecentExtents(setup.extents);
  }

  get dirtyCount(): number {
    return this.#dirtyCount;
  }
  get staleCount(): number {
    return this.#staleCount;
  }
  /** Extents of which it is not known before their writes end whether the local copy is good. */
  get suspectCount(): number {
    return this.#suspectCount;
  }
  get unflushedCount(): number {
    return this.#unflushed.size;
  }

  /** Takes what the disk holds: every set bit is an extent that may differ. `tail` bytes are kept as they are. */
  load(image: Buffer): void {
    image.copy(this.#image);
    this.#image.copy(this.#durable);
    for (let e = 0; e < this.extents; e++) if (bit(this.#image, e)) this.markDirty(e);
  }

  /** Bytes behind the bits that are written with them; lost when a foreign program writes the map. */
  setTail(at: number, bytes: Buffer): void {
    bytes.copy(this.#image, at);
    this.#note(at, at + bytes.length - 1);
  }

  /** Announces a write of extents `first..last`; `go` is called when their bits are durable (A1), perhaps at once. */
  begin(first: number, last: number, go: (error: IoResult) => void): void {
    if (this.claim(first, last)) go(null);
    else this.commit(go);
  }

  /** As begin(). @returns false when the write must wait for a commit() (A1) */
  claim(first: number, last: number): boolean {
    let durable = true;
    for (let e = first; e <= last; e++) {
      this.#inflight[e] = (this.#inflight[e] ?? 0) + 1;
      this.#keep(e);
      this.#refresh(e);
      durable &&= bit(this.#durable, e);
    }
    return durable || this.#abandoned;
  }

  /**
   * The write of begin() ended: `clean` when both sides have it, else the extents differ now.
   * @returns true when an extent became stale, see suspectRecent()
   */
  end(first: number, last: number, outcome: 'clean' | 'dirty'): boolean {
    const stale = this.#staleCount;
    for (let e = first; e <= last; e++) {
      this.#inflight[e] = Math.max(0, (this.#inflight[e] ?? 0) - 1);
      if (outcome === 'clean') this.#setUnflushed(e);
      else this.markDirty(e);
      if ((this.#flag(e) & SUSPECT) !== 0) this.#resolve(e, outcome);
      this.#refresh(e);
    }
    return this.#staleCount > stale;
  }

  isDirty(e: number): boolean {
    return (this.#flag(e) & DIRTY) !== 0;
  }
  isStale(e: number): boolean {
    return (this.#flag(e) & STALE) !== 0;
  }

  /** Nothing that was ever written there is under way, not flushed, or on one side only. */
  isSettled(e: number): boolean {
    return (this.#flag(e) & ~KEPT) === 0 && (this.#inflight[e] ?? 0) === 0;
  }

  /** The next dirty extent at or after `from`, or -1. */
  nextDirty(from: number): number {
    if (this.#dirtyCount === 0) return -1;
    for (let e = from; e < this.extents; e++) if (this.isDirty(e)) return e;
    return -1;
  }

  markDirty(e: number): void {
    if (this.#watched.size > 0 && this.#watched.has(e)) this.#watched.set(e, true);
    if (this.isDirty(e)) return;
    this.#dirtyCount++;
    this.#set(e, DIRTY);
  }

  /** Our copy is worthless, the other side's is good and durable. */
  markStale(e: number): void {
    this.markDirty(e);
    if (this.isStale(e)) return;
    this.#staleCount++;
    this.#set(e, STALE);
  }

  /**
   * Our copy may be worthless, the other side's is good. Until it is known to be durable there, ours is what is left
   * when the link dies. What the peer lacks anyway cannot be had from it.
   */
  lose(e: number): void {
    if (this.isDirty(e)) return;
    this.#unsure.add(e);
    this.markStale(e);
  }

  /** Starts a flush of the other side. Give what it made durable to keep(). */
  takeUnsure(): readonly number[] {
    return [...this.#unsure];
  }

  keep(round: readonly number[]): void {
    for (const e of round) this.#unsure.delete(e);
  }

  /** From now on a markDirty() of this extent makes the copy of it incomplete. */
  watch(e: number): void {
    this.#watched.set(e, false);
  }

  /** The copy of a watched extent ended. @returns true when the two sides are equal again, not yet flushed */
  copied(e: number, complete: boolean): boolean {
    const again = this.#watched.get(e) === true;
    this.#watched.delete(e);
    if (!complete || again || this.#abandoned) return false;
    this.#clearDirty(e);
    this.#setUnflushed(e);
    return true;
  }

  /** The other side took over what is dirty here and keeps it in its own map. */
  forgetDirty(which: (e: number) => boolean = () => true): void {
    if (this.#abandoned) return;
    for (let e = 0; e < this.extents; e++) if (this.isDirty(e) && which(e)) this.#clearDirty(e);
    this.#kick();
  }

  /** Nothing is written here any more: no bit need stay for the next write. */
  forgetKept(): void {
    for (let e = this.#kept.takeOldest(); e >= 0; e = this.#kept.takeOldest()) {
      this.#unset(e, KEPT);
      this.#refresh(e);
    }
  }

  /** The link is gone: nothing that was not flushed over there is certain (A7), so our copy of it counts. */
  unflushedToDirty(): void {
    for (const e of this.#unsure) {
      this.#staleCount--;
      this.#unset(e, STALE);
    }
    this.#unsure.clear();
    for (const e of this.#unflushed) {
      this.#unset(e, UNFLUSHED);
      this.markDirty(e);
    }
    this.#unflushed.clear();
  }

  /** Starts a flush of everything written so far. Give the result to settle(). */
  takeUnflushed(): FlushRound {
    const round = [...this.#unflushed];
    this.#unflushed = new Set();
    for (const e of round) this.#swap(e, UNFLUSHED, FLUSHING);
    return round;
  }

  /** `again`: the flush could not be done and harms nothing; `dirty`, `stale`: it failed there, here. */
  settle(round: FlushRound, outcome: 'flushed' | 'again' | 'dirty' | 'stale'): void {
    for (const e of round) {
      this.#unset(e, FLUSHING);
      if (outcome === 'again') this.#setUnflushed(e);
      else if (outcome === 'dirty') this.markDirty(e);
      else if (outcome === 'stale') this.#loseForGood(e);
      this.#refresh(e);
    }
    if (outcome === 'flushed') this.#kick();
  }

  /** A local flush failed: what was written since it began, or is being written, may be lost with the rest. */
  suspectRecent(): void {
    for (const e of this.#unflushed) {
      this.#unset(e, UNFLUSHED);
      this.#loseForGood(e);
      this.#refresh(e);
    }
    this.#unflushed.clear();
    // Pieces of a copy that were written already are in the same cache.
    for (const e of this.#watched.keys()) this.#watched.set(e, true);
    for (let e = 0; e < this.extents; e++) {
      if ((this.#inflight[e] ?? 0) === 0 || (this.#flag(e) & SUSPECT) !== 0) continue;
      this.#suspectCount++;
      this.#set(e, SUSPECT);
    }
    if (this.#staleCount === 0 || this.#dirtyCount > this.#staleCount) this.ownLost = true;
  }

  /** One bit per dirty extent, `bytes` long: what the other side has to copy. */
  dirtyBits(bytes: number): Buffer {
    const bits = Buffer.alloc(bytes);
    for (let e = this.nextDirty(0); e >= 0; e = this.nextDirty(e + 1)) {
      bits[e >> 3] = (bits[e >> 3] ?? 0) | (1 << (e & 7));
    }
    return bits;
  }

  /**
   * Another durable word says that every extent differs and only the other side's copy is good: the disk is not written
   * any more, and no bit is cleared.
   */
  abandon(): void {
    this.#abandoned = true;
    for (let e = 0; e < this.extents; e++) this.markStale(e);
    this.#unsure.clear();
    this.#kick();
  }

  /** Calls back when every bit that is set now is durable. */
  commit(done: (error: IoResult) => void): void {
    this.#waiting.push(done);
    this.#kick();
  }

  #kick(): void {
    if (this.#kicked || this.#writing) return;
    this.#kicked = true;
    queueMicrotask(() => {
      this.#kicked = false;
      this.#write();
    });
  }

  #write(): void {
    if (this.#writing) return;
    const batch = this.#waiting;
    this.#waiting = [];
    if (this.#changedTo < 0 || this.#abandoned) {
      for (const done of batch) done(null);
      return;
    }
    const sector = this.#setup.sectorBytes;
    const from = Math.floor(this.#changedFrom / sector) * sector;
    const to = Math.min(this.#image.length, (Math.floor(this.#changedTo / sector) + 1) * sector);
    this.#changedFrom = Number.MAX_SAFE_INTEGER;
    this.#changedTo = -1;
    const data = Buffer.from(this.#image.subarray(from, to));
    for (let i = from; i < to; i++) this.#durable[i] = (this.#durable[i] ?? 0) & (data[i - from] ?? 0);
    this.#writing = true;
    this.updates++;
    this.#setup.store(from, Buffer.from(data), (error) => {
      this.#writing = false;
      if (error === null) data.copy(this.#durable, from);
      else this.#note(from, to - 1);
      for (const done of batch) done(error);
      if (this.#waiting.length > 0) this.#kick();
    });
  }

  #keep(e: number): void {
    if (this.#setup.keepdirty === 0) return;
    this.#kept.touch(e);
    this.#flags[e] = this.#flag(e) | KEPT;
    if (this.#kept.size <= this.#setup.keepdirty) return;
    const oldest = this.#kept.takeOldest();
    this.#unset(oldest, KEPT);
    this.#refresh(oldest);
  }

  /** As lose(), by a failed flush: whatever becomes of the link, ours is not what was acknowledged. */
  #loseForGood(e: number): void {
    if (!this.isDirty(e)) this.markStale(e);
    this.#unsure.delete(e);
  }

  #resolve(e: number, outcome: 'clean' | 'dirty'): void {
    if (outcome === 'clean') this.#loseForGood(e);
    else if (!this.isStale(e)) this.ownLost = true;
    if ((this.#inflight[e] ?? 0) > 0) return;
    this.#suspectCount--;
    this.#unset(e, SUSPECT);
  }

  #setUnflushed(e: number): void {
    this.#unflushed.add(e);
    this.#set(e, UNFLUSHED);
  }

  #clearDirty(e: number): void {
    if (this.isDirty(e)) this.#dirtyCount--;
    if (this.isStale(e)) this.#staleCount--;
    this.#unsure.delete(e);
    this.#unset(e, DIRTY | STALE);
    this.#refresh(e);
  }

  #flag(e: number): number {
    return this.#flags[e] ?? 0;
  }
  #set(e: number, flag: number): void {
    this.#flags[e] = this.#flag(e) | flag;
    this.#refresh(e);
  }
  #unset(e: number, flag: number): void {
    this.#flags[e] = this.#flag(e) & ~flag;
  }
  #swap(e: number, from: number, to: number): void {
    this.#flags[e] = (this.#flag(e) & ~from) | to;
  }

  #refresh(e: number): void {
    const wanted = this.#flag(e) !== 0 || (this.#inflight[e] ?? 0) > 0;
    if (wanted === bit(this.#image, e)) return;
    const byte = e >> 3;
    const mask = 1 << (e & 7);
    const old = this.#image[byte] ?? 0;
    this.#image[byte] = wanted ? old | mask : old & ~mask;
    this.#note(byte, byte);
  }

  #note(from: number, to: number): void {
    if (from < this.#changedFrom) this.#changedFrom = from;
    if (to > this.#changedTo) this.#changedTo = to;
  }
}

function bit(map: Buffer, e: number): boolean {
  return (((map[e >> 3] ?? 0) >> (e & 7)) & 1) === 1;
}
