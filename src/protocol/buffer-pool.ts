/**
 * Memory for large payloads that is used again: fresh pages cost as much as copying into them, and what
 * waits for the garbage collector is counted in tens of MiB.
 */
import { Buffer } from 'node:buffer';

/** The smallest length that is kept: shorter ones are cheap as it is. */
const MIN_BYTES = 64 * 1024;

/** Memory that is kept as it is. */
export interface Held {
  /** To be called once. */
  release(): void;
}

export class BufferPool {
  readonly #maxBytes: number;
  /** All of one size: a change of lengths lets go of what was kept. */
  #spare: Buffer[] = [];

  /** @param maxBytes kept at most */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Of that length, with anything in it. */
  take(length: number): Buffer {
    if (length < MIN_BYTES) return Buffer.allocUnsafeSlow(length);
    const bytes = sizeFor(length);
    const spare = this.#spare.at(-1);
    if (spare?.length !== bytes) return Buffer.allocUnsafeSlow(bytes).subarray(0, length);
    this.#spare.pop();
    return spare.subarray(0, length);
  }

  /** Gives back what take() returned, once: nobody reads or writes it any more. */
  give(buffer: Buffer): void {
    if (buffer.length < MIN_BYTES) return;
    const whole = Buffer.from(buffer.buffer, 0, buffer.buffer.byteLength);
    if (this.#spare[0]?.length !== whole.length) this.#spare = [];
    if ((this.#spare.length + 1) * whole.length <= this.#maxBytes) this.#spare.push(whole);
  }
}

/** The next power of two, so that lengths which differ a little share memory. */
function sizeFor(length: number): number {
  return 2 ** Math.ceil(Math.log2(length));
}
