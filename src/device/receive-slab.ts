/**
 * Memory that a socket reads into. What arrives one after the other lies one after the other, so
 * a message that came in several pieces can be used in place. Memory that was handed out is used again only
 * where the reader says so, with hold() for what it keeps; else it goes when nobody refers to it any more.
 */
import { Socket } from 'node:net';
import type { Held } from '../protocol/buffer-pool.ts';

const SLAB_BYTES = 1024 * 1024;
/** What is read at most at once. */
const WINDOW_BYTES = 256 * 1024;
/** With less room than this a new slab costs less than the small reads that would fill the old one. */
const MIN_WINDOW_BYTES = 32 * 1024;

/** Full slabs that wait to be used again, at most; one more is left to the garbage collector. */
const MAX_FULL_SLABS = 8;

/** Some memory, and how much of what lies in it is still needed. */
class Slab implements Holder {
  readonly memory = Buffer.allocUnsafeSlow(SLAB_BYTES);
  holds = 0;
  /** Something may lie in it that nobody holds, and that is needed. */
  readonly once: boolean;
  readonly release: () => void;

  constructor(once: boolean) {
    this.once = once;
    this.release = () => {
      this.holds -= 1;
    };
  }

  hold(): void {
    this.holds += 1;
  }
}

/** Memory that stays as it is while it is held. */
export interface Holder extends Held {
  hold(): void;
  /** To be called once for each hold(). */
  readonly release: () => void;
}

export class ReceiveSlab {
  #slab: Slab | null = null;
  #at = SLAB_BYTES;
  #reuses = false;
  #full: Slab[] = [];

  /**
   * From now on what take() returned is overwritten, unless hold() was called for it: not before the reader
   * took 900 KiB more, so a message that is not complete yet needs no hold.
   */
  reuse(): void {
    this.#reuses = true;
  }

  /** Keeps these bytes as they are until release(). @returns null when they do not lie here, and stay anyway */
  hold(bytes: Buffer): Held | null {
    const holder = this.holderOf(bytes);
    holder?.hold();
    return holder;
  }

  /** For who holds many things that lie in these bytes. @returns null as hold() does */
  holderOf(bytes: Buffer): Holder | null {
    return this.#reuses ? this.#find(bytes.buffer) : null;
  }

  /**
   * Of what was taken only what is held is needed any more. Memory that is used again at once is still in
   * the processor's cache.
   */
  rewind(): void {
    if (this.#reuses && this.#slab?.once === false && this.#slab.holds === 0) this.#at = 0;
  }

  /**
   * Half a message, moved to before where the next bytes go unless it lies there: so that it can be joined
   * with them where it is, also when they go to other memory.
   */
  carry(rest: Buffer): Buffer {
    const room = SLAB_BYTES - this.#at >= MIN_WINDOW_BYTES;
    if (room && this.#slab !== null && adjacent(rest, this.#slab.memory.subarray(this.#at))) return rest;
    if (this.#slab === null || SLAB_BYTES - this.#at < rest.length + MIN_WINDOW_BYTES)
      this.#slab = this.#next(this.#slab);
    rest.copy(this.#slab.memory, this.#at);
    return this.take(rest.length);
  }

  /** Where the next bytes go: at most so many. */
  window(bytes = WINDOW_BYTES): Buffer {
    if (this.#slab === null || SLAB_BYTES - this.#at < MIN_WINDOW_BYTES) this.#slab = this.#next(this.#slab);
    return this.#slab.memory.subarray(this.#at, this.#at + bytes);
  }

  /** So many bytes are in the last window(). @returns them */
  take(bytes: number): Buffer {
    const chunk = this.#slab?.memory.subarray(this.#at, this.#at + bytes) ?? Buffer.alloc(0);
    this.#at += bytes;
    return chunk;
  }

  /** What was taken last may be half a message that nobody holds yet: its slab is not the next one. */
  #next(last: Slab | null): Slab {
    this.#at = 0;
    const free = this.#full.findIndex((slab) => slab.holds === 0);
    const next = free < 0 ? new Slab(!this.#reuses) : this.#full.splice(free, 1)[0];
    if (last !== null && !last.once) this.#full.push(last);
    if (this.#full.length > MAX_FULL_SLABS) this.#full.shift();
    return next ?? new Slab(!this.#reuses);
  }

  #find(memory: ArrayBufferLike): Slab | null {
    if (this.#slab?.memory.buffer === memory) return this.#slab;
    return this.#full.find((slab) => slab.memory.buffer === memory) ?? null;
  }
}

/** `next` behind `first`: one view when they lie so in memory, else a copy of both. */
export function joined(first: Buffer, next: Buffer): Buffer {
  if (first.length === 0) return next;
  return adjacent(first, next)
    ? Buffer.from(first.buffer, first.byteOffset, first.length + next.length)
    : Buffer.concat([first, next]);
}

function adjacent(first: Buffer, next: Buffer): boolean {
  return first.buffer === next.buffer && first.byteOffset + first.length === next.byteOffset;
}

/** Says where to put what arrives, and takes it from there. */
export interface Receiver {
  window(): Buffer;
  /** `window` holds so many bytes. */
  filled(bytes: number, window: Buffer): void;
}

/**
 * Has an accepted socket of which nothing was read yet (`pauseOnConnect`) read into memory of ours. Without
 * it Node allocates 64 KiB for every read, which costs more than the read.
 * @returns a new socket in place of `accepted`; null when this version of Node has no way to do it
 */
export function readInto(accepted: Socket, receiver: Receiver): Socket | null {
  const handle: unknown = Reflect.get(accepted, '_handle');
  if (typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) return null;
  const options = {
    handle,
    allowHalfOpen: true,
    pauseOnCreate: true,
    onread: {
      buffer: () => receiver.window(),
      callback: (bytes: number, window: Uint8Array): boolean => {
        receiver.filled(bytes, window as Buffer);
        return true;
      },
    },
  };
  const socket = new Socket(options);
  Reflect.set(accepted, '_handle', null);
  return socket;
}

/** Takes what a socket reads from its first byte on, before anybody knows who will listen. */
export class SocketReader {
  /** What `new Socket()` and `connect()` want as `onread`. */
  readonly onread: { buffer: () => Buffer; callback: (bytes: number) => boolean };
  readonly #slab = new ReceiveSlab();
  #early: Buffer[] = [];
  #listener: ((chunk: Buffer) => void) | null = null;

  constructor() {
    this.onread = {
      buffer: () => this.#slab.window(),
      callback: (bytes) => {
        const chunk = this.#slab.take(bytes);
        if (this.#listener === null) this.#early.push(chunk);
        else this.#listener(chunk);
        return true;
      },
    };
  }

  /** @see ReceiveSlab.reuse */
  reuse(): void {
    this.#slab.reuse();
  }

  hold(bytes: Buffer): Held | null {
    return this.#slab.hold(bytes);
  }

  listen(listener: (chunk: Buffer) => void): void {
    this.#listener = listener;
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) listener(chunk);
  }
}
