/** Sends many small pieces as one, from memory that is used again as soon as the kernel has it. */
import type { Writable } from 'node:stream';

const SLAB_BYTES = 512 * 1024;
/** Copying up to here costs less than one more element of a writev. */
const COPY_LIMIT_BYTES = 32 * 1024;

export class SendSlab {
  #slab: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Hands the parts to the stream, in order. `done` is called when the last of them was sent. */
  send(stream: Writable, parts: readonly Buffer[], done: () => void): void {
    if (stream.writableLength === 0) this.#at = 0;
    const pieces = this.#pieces(parts);
    if (pieces.length > 1) stream.cork();
    pieces.forEach((piece, index) => {
      if (index < pieces.length - 1) stream.write(piece);
      else stream.write(piece, done);
    });
    if (pieces.length > 1) stream.uncork();
  }

  #pieces(parts: readonly Buffer[]): readonly Buffer[] {
    if (parts.length < 2) return parts;
    const pieces: Buffer[] = [];
    let from = this.#at;
    for (const part of parts) {
      const small = part.length <= COPY_LIMIT_BYTES;
      if (!small || this.#slab.length - this.#at < part.length) {
        if (this.#at > from) pieces.push(this.#slab.subarray(from, this.#at));
        if (small) {
          this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
          this.#at = 0;
        }
        from = this.#at;
      }
      if (small) {
        this.#slab.set(part, this.#at);
        this.#at += part.length;
      } else pieces.push(part);
    }
    if (this.#at > from) pieces.push(this.#slab.subarray(from, this.#at));
    return pieces;
  }
}
