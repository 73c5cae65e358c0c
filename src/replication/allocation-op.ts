/**
 * One question of an application where the disk has holes. The local disk is believed only where both disks have the
 * same, flushed: what is stale, dirty or was just written is data, and so is everything once the disk has failed.
 * It is answered when the gate lets it, since zeros that are told are zeros that are read (SAFETY A4, A5).
 */
import type { Allocation, BlockDevice } from '../model/block-device.ts';
import type { Answer } from './ack-gate.ts';
import type { EngineCore } from './core.ts';
import { extentsOf } from './core.ts';

/** How often the disk is asked at most for one answer: each time about a row of extents that are believed. */
const MAX_ROWS = 32;

type Done = Parameters<NonNullable<BlockDevice['allocation']>>[3];
type Holes = NonNullable<EngineCore['ports']['disk']['holes']>;

/** The primary, as far as it is needed here. */
export interface AllocationOwner {
  /** Calls `start` when the range may be looked at, perhaps later; else tells why it never may. */
  admit(offset: number, length: number, refuse: (error: string) => void, start: () => void): void;
  /** It waits for the gate. */
  readDone(answer: Answer): void;
  /** The gate has let it go. */
  readAnswered(): void;
}

/** Undefined where the disk cannot tell. */
export function allocationOf(core: EngineCore, owner: AllocationOwner): BlockDevice['allocation'] {
  const { holes } = core.ports.disk;
  if (holes === undefined) return undefined;
  return (offset, length, most, done) =>
    owner.admit(
      offset,
      length,
      (error) => done(error, []),
      () => new AllocationOp(core, owner, holes, { offset, length, most }, done).next(),
    );
}

interface Range {
  readonly offset: number;
  readonly length: number;
  /** Pieces. */
  readonly most: number;
}

class AllocationOp implements Answer {
  readonly #core: EngineCore;
  readonly #owner: AllocationOwner;
  readonly #holes: Holes;
  readonly #range: Range;
  readonly #done: Done;
  readonly #found: Pieces;
  #rows = 0;

  constructor(core: EngineCore, owner: AllocationOwner, holes: Holes, range: Range, done: Done) {
    this.#core = core;
    this.#owner = owner;
    this.#holes = holes;
    this.#range = range;
    this.#done = done;
    this.#found = new Pieces(range.most);
  }

  /** The next row of extents. */
  next(): void {
    const { offset, length } = this.#range;
    const at = offset + this.#found.bytes;
    const end = offset + length;
    if (at >= end || this.#found.isFull || this.#rows === MAX_ROWS) {
      this.#owner.readDone(this);
      return;
    }
    const [stop, sure] = this.#row(at, end);
    if (!sure) {
      this.#found.add(stop - at, false);
      this.next();
      return;
    }
    this.#rows++;
    this.#holes(this.#core.store.meta.offset + at, stop - at, this.#found.room, (error, pieces) => {
      if (error !== null || pieces.length === 0) this.#found.add(stop - at, false);
      else for (const piece of pieces) this.#found.add(piece.length, piece.hole);
      this.next();
    });
  }

  answer(held: string | null): void {
    this.#owner.readAnswered();
    this.#done(held, held === null ? this.#stillSure() : []);
  }

  /** What was written since the disk was asked is no hole any more. */
  #stillSure(): readonly Allocation[] {
    const pieces = new Pieces(this.#range.most);
    let at = this.#range.offset;
    for (const { length, hole } of this.#found.list) {
      const end = at + length;
      while (at < end) {
        const [stop, sure] = hole ? this.#row(at, end) : [end, false];
        pieces.add(stop - at, sure);
        at = stop;
      }
    }
    return pieces.list;
  }

  /** @returns where the extents from `at` on end that are all believed, or all not */
  #row(at: number, end: number): [number, boolean] {
    const { extentsize } = this.#core.store.meta;
    const [first, last] = extentsOf(this.#core, at, end - at);
    const sure = this.#isSure(first);
    let next = first + 1;
    while (next <= last && this.#isSure(next) === sure) next++;
    return [Math.min(end, next * extentsize), sure];
  }

  /** Without another node everything that was written is dirty, which says nothing. */
  #isSure(extent: number): boolean {
    const { map, ports, diskError } = this.#core;
    if (diskError !== null) return false;
    return ports.connector === null ? !map.isStale(extent) : map.isSettled(extent);
  }
}

/** Consecutive pieces, of which neighbours are different. What comes when it is full is left out. */
class Pieces {
  readonly list: { length: number; readonly hole: boolean }[] = [];
  bytes = 0;
  readonly #most: number;
  #closed = false;

  constructor(most: number) {
    this.#most = most;
  }

  get room(): number {
    return this.#most - this.list.length;
  }
  get isFull(): boolean {
    return this.room <= 0;
  }

  add(length: number, hole: boolean): void {
    const last = this.list.at(-1);
    if (this.#closed) return;
    if (last?.hole === hole) last.length += length;
    else if (this.isFull) {
      this.#closed = true;
      return;
    } else this.list.push({ length, hole });
    this.bytes += length;
  }
}
