/**
 * The bits of an activemap as they stand on disk: what it should hold, and what it certainly holds. Commits are grouped,
 * one write is in flight.
 * @see hast.md section 2, SAFETY A1
 */
import type { IoResult } from './ports.ts';

export interface MapImageSetup {
  /** Bytes of the map that are written: the bits, rounded up to sectors. */
  readonly imageBytes: number;
  readonly sectorBytes: number;
  /** Durable write at an offset of the map region. */
  readonly store: (offset: number, data: Buffer, done: (error: IoResult) => void) => void;
}

export class MapImage {
  /** How often it was written. */
  updates = 0;
  readonly #setup: MapImageSetup;
  readonly #wanted: Buffer;
  readonly #durable: Buffer;
  #changedFrom = Number.MAX_SAFE_INTEGER;
  #changedTo = -1;
  #waiting: ((error: IoResult) => void)[] = [];
  #writing = false;
  #kicked = false;
  #abandoned = false;

  constructor(setup: MapImageSetup) {
    this.#setup = setup;
    this.#wanted = Buffer.alloc(setup.imageBytes);
    this.#durable = Buffer.alloc(setup.imageBytes);
  }

  /** Takes what the disk holds. */
  load(image: Buffer): void {
    image.copy(this.#wanted);
    this.#wanted.copy(this.#durable);
  }

  /** Bytes behind the bits that are written with them; lost when a foreign program writes the map. */
  setTail(at: number, bytes: Buffer): void {
    bytes.copy(this.#wanted, at);
    this.#note(at, at + bytes.length - 1);
  }

  has(e: number): boolean {
    return bit(this.#wanted, e);
  }

  /** The disk holds this bit for certain. */
  isDurable(e: number): boolean {
    return bit(this.#durable, e);
  }

  /** In memory, until the next commit() or kick(). */
  set(e: number, wanted: boolean): void {
    if (wanted === bit(this.#wanted, e)) return;
    const byte = e >> 3;
    const mask = 1 << (e & 7);
    const old = this.#wanted[byte] ?? 0;
    this.#wanted[byte] = wanted ? old | mask : old & ~mask;
    this.#note(byte, byte);
  }

  /** Calls back when every bit that is set now is durable. */
  commit(done: (error: IoResult) => void): void {
    this.#waiting.push(done);
    this.kick();
  }

  /** Writes what changed, soon. */
  kick(): void {
    if (this.#kicked || this.#writing) return;
    this.#kicked = true;
    queueMicrotask(() => {
      this.#kicked = false;
      this.#write();
    });
  }

  /** The disk is not written any more; who waits for it is told that it is durable, which another word says now. */
  abandon(): void {
    this.#abandoned = true;
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
    const to = Math.min(this.#wanted.length, (Math.floor(this.#changedTo / sector) + 1) * sector);
    this.#changedFrom = Number.MAX_SAFE_INTEGER;
    this.#changedTo = -1;
    const data = Buffer.from(this.#wanted.subarray(from, to));
    for (let i = from; i < to; i++) this.#durable[i] = (this.#durable[i] ?? 0) & (data[i - from] ?? 0);
    this.#writing = true;
    this.updates++;
    this.#setup.store(from, Buffer.from(data), (error) => {
      this.#writing = false;
      if (error === null) data.copy(this.#durable, from);
      else this.#note(from, to - 1);
      for (const done of batch) done(error);
      if (this.#waiting.length > 0) this.kick();
    });
  }

  #note(from: number, to: number): void {
    if (from < this.#changedFrom) this.#changedFrom = from;
    if (to > this.#changedTo) this.#changedTo = to;
  }
}

/** One bit per dirty extent, `bytes` long: what the other side has to copy. */
export function dirtyBits(map: { nextDirty(from: number): number }, bytes: number): Buffer {
  const bits = Buffer.alloc(bytes);
  for (let e = map.nextDirty(0); e >= 0; e = map.nextDirty(e + 1)) {
    bits[e >> 3] = (bits[e >> 3] ?? 0) | (1 << (e & 7));
  }
  return bits;
}

function bit(map: Buffer, e: number): boolean {
  return (((map[e >> 3] ?? 0) >> (e & 7)) & 1) === 1;
}
