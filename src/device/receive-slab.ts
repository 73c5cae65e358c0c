/**
 * Memory that a socket reads into. What arrives one after the other lies one after the other, so
 * a message that came in several pieces can be used in place. Memory that was handed out is not
 * used again: it goes when nobody refers to it any more.
 */
import { Socket } from 'node:net';

const SLAB_BYTES = 1024 * 1024;
/** What is read at most at once. */
const WINDOW_BYTES = 256 * 1024;
/** With less room than this a new slab costs less than the small reads that would fill the old one. */
const MIN_WINDOW_BYTES = 32 * 1024;

export class ReceiveSlab {
  #slab: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Where the next bytes go: at most so many. */
  window(bytes = WINDOW_BYTES): Buffer {
    if (this.#slab.length - this.#at < MIN_WINDOW_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#at = 0;
    }
    return this.#slab.subarray(this.#at, this.#at + bytes);
  }

  /** So many bytes are in the last window(). @returns them */
  take(bytes: number): Buffer {
    const chunk = this.#slab.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    return chunk;
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

  listen(listener: (chunk: Buffer) => void): void {
    this.#listener = listener;
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) listener(chunk);
  }
}
