/**
 * Replies of one turn of the event loop, sent in one go. Each lies in a slab with its header before
 * its data, where the device has put it, so that a batch is one piece of memory and one send.
 */
import type { Socket } from 'node:net';
import { SIMPLE_REPLY_BYTES, writeSimpleReply, type NbdSimpleReply } from '../protocol/nbd.ts';

const SLAB_BYTES = 512 * 1024;
/** More has memory of its own. */
const SLAB_ROOM_BYTES = 64 * 1024;
/** Kept of such memory for the next reply of the same length: fresh pages cost as much as a copy. */
const MAX_SPARE_BYTES = 8 * 1024 * 1024;

/** Where the data of a reply goes, with room for the header before it. */
export interface ReplyRoom {
  readonly whole: Buffer;
  readonly payload: Buffer;
}

export class ReplyBatch {
  #slab: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Rooms that nothing was added for yet. */
  #open = 0;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #spare: Buffer[] = [];

  /** Bytes that flush() will write. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Give it to add() when the data is there, or when it will never be. */
  room(length: number): ReplyRoom {
    const bytes = SIMPLE_REPLY_BYTES + length;
    const whole = bytes > SLAB_ROOM_BYTES ? this.#large(bytes) : this.#cut(bytes);
    this.#open += 1;
    return { whole, payload: whole.subarray(SIMPLE_REPLY_BYTES) };
  }

  /** @param room holds the reply's data; null when there is none; unused when the reply is an error */
  add(reply: NbdSimpleReply, room: ReplyRoom | null): void {
    if (room !== null) this.#open -= 1;
    const bytes = room !== null && reply.error === 0 ? room.whole : this.#cut(SIMPLE_REPLY_BYTES);
    writeSimpleReply(bytes, 0, reply);
    this.#bytes += bytes.length;
    const last = this.#pieces.at(-1);
    if (last?.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset)
      this.#pieces[this.#pieces.length - 1] = Buffer.from(
        bytes.buffer,
        last.byteOffset,
        last.length + bytes.length,
      );
    else this.#pieces.push(bytes);
  }

  /** Hands everything to the socket, in the order of add(). */
  flush(socket: Socket): void {
    if (this.#bytes === 0) return;
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    if (pieces.length > 1) socket.cork();
    for (const piece of pieces) {
      if (piece.length <= SLAB_ROOM_BYTES || piece.buffer === this.#slab.buffer) socket.write(piece);
      else socket.write(piece, () => this.#recycle(piece));
    }
    if (pieces.length > 1) socket.uncork();
    if (this.#open > 0) return;
    // The kernel has it all: the memory can be used again.
    if (socket.writableLength === 0) this.#at = 0;
  }

  #large(bytes: number): Buffer {
    const spare = this.#spare.pop();
    if (spare?.length === bytes) return spare;
    // Lengths have changed: what is kept is of no use any more.
    this.#spare = [];
    return Buffer.allocUnsafeSlow(bytes);
  }

  /** A batch of small replies is as long, but is part of a slab. */
  #recycle(piece: Buffer): void {
    if (piece.length !== piece.buffer.byteLength) return;
    if ((this.#spare.length + 1) * piece.length <= MAX_SPARE_BYTES) this.#spare.push(piece);
  }

  #cut(bytes: number): Buffer {
    if (this.#slab.length - this.#at < bytes) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#at = 0;
    }
    const start = this.#at;
    this.#at += bytes;
    return this.#slab.subarray(start, this.#at);
  }
}
