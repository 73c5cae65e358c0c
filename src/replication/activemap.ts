/**
 * Which extents may differ between the two disks, in memory and on disk. A set bit is on disk
 * before anything is written under it (SAFETY A1); commits are grouped, one write is in flight.
 * Errs on the side of a set bit: it costs a copy, a missing one costs data.
 * @see hast.md sections 2 and 7, SAFETY A1, A6, A7
 */
import { MapImage } from './map-image.ts';
import type { MapImageSetup } from './map-image.ts';
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

export interface ActiveMapSetup extends MapImageSetup {
  readonly extents: number;
  readonly keepdirty: number;
}

/** Extents that one flush covers. */
export interface FlushRound {
  /** Written on both sides. */
  readonly both: readonly number[];
  /** Were so when the link died. */
  readonly cut: readonly number[];
}

export class ActiveMap {
  readonly extents: number;
  /** A failed flush may have taken what only the local disk has, or it is not known what it took. */
  ownLost = false;
  readonly #keepdirty: number;
  readonly #flags: Uint8Array;
  readonly #inflight: Uint32Array;
  readonly #image: MapImage;
  readonly #kept: RecentExtents;
  #unflushed = new Set<number>();
  /** Both sides had them, or were sent them, when the link died, and this one has not flushed since; not written alone. */
  readonly #cut = new Set<number>();
  /** Stale since a write failed here, and perhaps not flushed on the other side. */
  readonly #unsure = new Set<number>();
  /** As `unsure`, since a flush failed here, which may have taken any of it. */
  readonly #torn = new Set<number>();
  #dirtyCount = 0;
  #staleCount = 0;
  #suspectCount = 0;
  #abandoned = false;
  /** Extents that became dirty while something copies them. */
  readonly #watched = new Map<number, boolean>();

  constructor(setup: ActiveMapSetup) {
    this.#keepdirty = setup.keepdirty;
    this.extents = setup.extents;
    this.#flags = new Uint8Array(setup.extents);
    this.#inflight = new Uint32Array(setup.extents);
    this.#image = new MapImage(setup);
    this.#kept = new RecentExtents(setup.extents);
  }

  /** How often the map was written. */
  get updates(): number {
    return this.#image.updates;
  }
  get dirtyCount(): number {
    return this.#dirtyCount;
  }
  get staleCount(): number {
    return this.#staleCount;
  }
  /** Stale, whatever the other side says when it is met again. */
  get lostCount(): number {
    return this.#staleCount - this.#unsure.size - this.#torn.size;
  }
  /** Extents of which it is not known before their writes end whether the local copy is good. */
  get suspectCount(): number {
    return this.#suspectCount;
  }
  get unflushedCount(): number {
    return this.#unflushed.size;
  }

  /** Takes what the disk holds: every set bit is an extent that may differ. */
  load(image: Buffer): void {
    this.#image.load(image);
    for (let e = 0; e < this.extents; e++) if (this.#image.has(e)) this.markDirty(e);
  }

  /** Bytes behind the bits that are written with them; lost when a foreign program writes the map. */
  setTail(at: number, bytes: Buffer): void {
    this.#image.setTail(at, bytes);
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
      durable &&= this.#image.isDurable(e);
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
    return [...this.#unsure, ...this.#torn];
  }

  keep(round: readonly number[]): void {
    for (const set of [this.#unsure, this.#torn]) for (const e of round) set.delete(e);
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
    this.#image.kick();
  }

  /** Nothing is written here any more: no bit need stay for the next write. */
  forgetKept(): void {
    for (let e = this.#kept.takeOldest(); e >= 0; e = this.#kept.takeOldest()) {
      this.#unset(e, KEPT);
      this.#refresh(e);
    }
  }

  /**
   * The link is gone: nothing that was not flushed over there is certain (A7), so our copy of it counts, unless the next
   * flush here fails.
   * @param async what is under way may be acknowledged and only here
   */
  linkDied(async: boolean): void {
    for (const e of this.#unsure) {
      this.#staleCount--;
      this.#unset(e, STALE);
    }
    this.#unsure.clear();
    for (let e = 0; e < this.extents; e++) {
      const underWay = (this.#inflight[e] ?? 0) > 0;
      const answered = (this.#flag(e) & (UNFLUSHED | FLUSHING)) !== 0;
      if (this.isDirty(e) || !(async ? answered && !underWay : answered || underWay)) continue;
      this.#cut.add(e);
      // A flush failed here already while it was under way.
      if ((this.#flag(e) & SUSPECT) !== 0) this.#tear(e);
    }
    this.unflushedToDirty();
  }

  /** A write of these extents was acknowledged that the other side does not have. */
  alone(first: number, last: number): void {
    if (this.#cut.size > 0) for (let e = first; e <= last; e++) this.#cut.delete(e);
  }

  /**
   * The other side is met again and has flushed. What a failed flush took here, or will take, is had from there, unless
   * its map names it: then it died before it had flushed it, and ours is what is left.
   */
  meet(theirs: (e: number) => boolean): void {
    for (const e of this.#cut) if (theirs(e)) this.#cut.delete(e);
    for (const e of this.#torn) {
      if (!theirs(e)) continue;
      this.#staleCount--;
      this.#unset(e, STALE);
      this.ownLost = true;
    }
    this.#torn.clear();
  }

  unflushedToDirty(): void {
    for (const e of this.#unflushed) {
      this.#unset(e, UNFLUSHED);
      this.markDirty(e);
    }
    this.#unflushed.clear();
  }

  /** Starts a flush of everything written so far. Give the result to settle(). */
  takeUnflushed(): FlushRound {
    const both = [...this.#unflushed];
    this.#unflushed = new Set();
    for (const e of both) this.#flags[e] = (this.#flag(e) & ~UNFLUSHED) | FLUSHING;
    return { both, cut: [...this.#cut].filter((e) => (this.#inflight[e] ?? 0) === 0) };
  }

  /** `again`: the flush could not be done there and harms nothing; `dirty`: it failed there; `lost`: and here. */
  settle({ both, cut }: FlushRound, outcome: 'flushed' | 'again' | 'dirty' | 'lost'): void {
    for (const e of both) {
      this.#unset(e, FLUSHING);
      if (outcome === 'again') this.#setUnflushed(e);
      else if (outcome !== 'flushed') this.markDirty(e);
      this.#refresh(e);
    }
    if (outcome !== 'lost') for (const e of cut) this.#cut.delete(e);
    if (outcome === 'flushed') this.#image.kick();
  }

  /**
   * The flush failed here.
   * @param durable it is durable on the other side
   * @returns true when something that was written here alone is to be overwritten
   */
  settleLost({ both }: FlushRound, durable: boolean): boolean {
    const overwrites = this.#cut.size > 0;
    for (const e of both) {
      this.#unset(e, FLUSHING);
      this.#tear(e);
      if (durable) this.#torn.delete(e);
      this.#refresh(e);
    }
    for (const e of this.#cut) this.#tear(e);
    return overwrites;
  }

  /** A local flush failed: what was written since it began, or is being written, may be lost with the rest. */
  suspectRecent(): void {
    for (const e of this.#unflushed) {
      this.#unset(e, UNFLUSHED);
      this.#tear(e);
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

  /**
   * Another durable word says that every extent differs and only the other side's copy is good: the disk is not written
   * any more, and no bit is cleared.
   */
  abandon(): void {
    this.#abandoned = true;
    this.#image.abandon();
    for (let e = 0; e < this.extents; e++) this.markStale(e);
    for (const set of [this.#unsure, this.#torn, this.#cut]) set.clear();
    this.#image.kick();
  }

  /** Calls back when every bit that is set now is durable. */
  commit(done: (error: IoResult) => void): void {
    this.#image.commit(done);
  }

  #keep(e: number): void {
    if (this.#keepdirty === 0) return;
    this.#kept.touch(e);
    this.#flags[e] = this.#flag(e) | KEPT;
    if (this.#kept.size <= this.#keepdirty) return;
    const oldest = this.#kept.takeOldest();
    this.#unset(oldest, KEPT);
    this.#refresh(oldest);
  }

  /** As lose(), by a failed flush: what is here may not be what was acknowledged. */
  #tear(e: number): void {
    const cut = this.#cut.delete(e);
    if (!this.#unsure.delete(e)) {
      if (cut ? this.isStale(e) : this.isDirty(e)) return;
      this.markStale(e);
    }
    this.#torn.add(e);
  }

  #resolve(e: number, outcome: 'clean' | 'dirty'): void {
    if (outcome === 'clean') this.#tear(e);
    else if (!this.isStale(e)) this.ownLost = true;
    if ((this.#inflight[e] ?? 0) > 0) return;
    this.#suspectCount--;
    this.#unset(e, SUSPECT);
  }

  #setUnflushed(e: number): void {
    if ((this.#flag(e) & UNFLUSHED) !== 0) return;
    this.#unflushed.add(e);
    this.#set(e, UNFLUSHED);
  }

  #clearDirty(e: number): void {
    if (this.isDirty(e)) this.#dirtyCount--;
    if (this.isStale(e)) this.#staleCount--;
    this.#unsure.delete(e);
    this.#torn.delete(e);
    this.#cut.delete(e);
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

  #refresh(e: number): void {
    this.#image.set(e, this.#flag(e) !== 0 || (this.#inflight[e] ?? 0) > 0);
  }
}
