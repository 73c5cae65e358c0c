/**
 * Replies of one turn of the event loop, sent in one go. Each lies in a slab with its header before
 * its data, where the device has put it, so that a batch is one piece of memory and one send.
 */
import type { Socket } from 'node:net';
import type { Allocation } from '../model/block-device.ts';
import { SIMPLE_REPLY_BYTES, viewOf, writeSimpleReply } from '../protocol/nbd.ts';
import {
  DATA_HEADER_BYTES,
  ERROR_CHUNK_BYTES,
  statusChunkBytes,
  writeDataHeader,
  writeErrorChunk,
  writeStatusChunk,
} from '../protocol/nbd-structured.ts';

const SLAB_BYTES = 512 * 1024;
/** More has memory of its own. */
const SLAB_ROOM_BYTES = 64 * 1024;
/** Kept of such memory for the next reply of the same length: fresh pages cost as much as a copy. */
const MAX_SPARE_BYTES = 8 * 1024 * 1024;

interface Memory {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Where the data of a reply goes, with room for the header before it. */
export interface ReplyRoom {
  readonly payload: Buffer;
  /** Header and data lie here. */
  readonly memory: Memory;
  readonly start: number;
  readonly end: number;
  /** Of the data on the disk: a structured reply tells it. */
  offset: number;
}

export class ReplyBatch {
  #structured = false;
  /** Before the data of a read. */
  #headerBytes = SIMPLE_REPLY_BYTES;
  #slab: Memory = memoryOf(Buffer.alloc(0));
  #at = 0;
  /** Rooms that nothing was added for yet. */
  #open = 0;
  /** Rooms of the slab in their order. The next round's are mostly the same. */
  #rooms: ReplyRoom[] = [];
  #nextRoom = 0;
  #pieces: { readonly bytes: Buffer; readonly memory: Memory }[] = [];
  /** The piece that grows. */
  #memory: Memory = this.#slab;
  #start = 0;
  #end = 0;
  #bytes = 0;
  #spare: Memory[] = [];

  /** Bytes that flush() will write. */
  get bytes(): number {
    return this.#bytes;
  }

  /** From now on data and errors go in structured replies. */
  structure(): void {
    this.#structured = true;
    this.#headerBytes = DATA_HEADER_BYTES;
  }

  /** Give it to add() when the data is there, or when it will never be. */
  room(length: number): ReplyRoom {
    const bytes = this.#headerBytes + length;
    this.#open += 1;
    if (bytes > SLAB_ROOM_BYTES) return roomIn(this.#large(bytes), 0, bytes, this.#headerBytes);
    const start = this.#cut(bytes);
    const known = this.#rooms[this.#nextRoom];
    const same = known?.start === start && known.end === this.#at;
    const room = same ? known : roomIn(this.#slab, start, this.#at, this.#headerBytes);
    this.#rooms[this.#nextRoom] = room;
    this.#nextRoom += 1;
    return room;
  }

  /** @param room holds the reply's data; null when there is none; unused when the reply is an error */
  add(error: number, cookieHigh: number, cookieLow: number, room: ReplyRoom | null): void {
    if (room !== null) this.#open -= 1;
    if (this.#structured && (room !== null || error !== 0)) {
      this.#addChunk(error, cookieHigh, cookieLow, room);
      return;
    }
    const carries = room !== null && error === 0;
    const start = carries ? room.start : this.#cut(SIMPLE_REPLY_BYTES);
    const memory = carries ? room.memory : this.#slab;
    const end = carries ? room.end : this.#at;
    writeSimpleReply(memory.view, start, error, cookieHigh, cookieLow);
    this.#grow(memory, start, end);
  }

  /** The answer to BLOCK_STATUS; structured. */
  addStatus(cookieHigh: number, cookieLow: number, context: number, pieces: readonly Allocation[]): void {
    const start = this.#cut(statusChunkBytes(pieces.length));
    writeStatusChunk(this.#slab.view, start, cookieHigh, cookieLow, context, pieces);
    this.#grow(this.#slab, start, this.#at);
  }

  #addChunk(error: number, cookieHigh: number, cookieLow: number, room: ReplyRoom | null): void {
    if (room !== null && error === 0) {
      const { memory, start, end, offset, payload } = room;
      writeDataHeader(memory.view, start, cookieHigh, cookieLow, offset, payload.length);
      this.#grow(memory, start, end);
      return;
    }
    const start = this.#cut(ERROR_CHUNK_BYTES);
    writeErrorChunk(this.#slab.view, start, error, cookieHigh, cookieLow);
    this.#grow(this.#slab, start, this.#at);
  }

  /** What was written there is sent next. */
  #grow(memory: Memory, start: number, end: number): void {
    this.#bytes += end - start;
    if (memory !== this.#memory || start !== this.#end) {
      this.#endPiece();
      this.#memory = memory;
      this.#start = start;
    }
    this.#end = end;
  }

  /** Hands everything to the socket, in the order of add(). */
  flush(socket: Socket): void {
    if (this.#bytes === 0) return;
    this.#endPiece();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    if (pieces.length > 1) socket.cork();
    for (const { bytes, memory } of pieces) {
      if (bytes.length <= SLAB_ROOM_BYTES || memory === this.#slab) socket.write(bytes);
      else socket.write(bytes, () => this.#recycle(bytes, memory));
    }
    if (pieces.length > 1) socket.uncork();
    if (this.#open > 0) return;
    // The kernel has it all: the memory can be used again.
    if (socket.writableLength === 0) this.#at = this.#nextRoom = 0;
  }

  #endPiece(): void {
    if (this.#start === this.#end) return;
    const memory = this.#memory;
    this.#pieces.push({ bytes: memory.bytes.subarray(this.#start, this.#end), memory });
    this.#start = this.#end = 0;
  }

  #large(bytes: number): Memory {
    const spare = this.#spare.pop();
    if (spare?.bytes.length === bytes) return spare;
    // Lengths have changed: what is kept is of no use any more.
    this.#spare = [];
    return memoryOf(Buffer.allocUnsafeSlow(bytes));
  }

  /** A batch of small replies is as long, but is part of a slab. */
  #recycle(sent: Buffer, memory: Memory): void {
    if (sent.length !== memory.bytes.length) return;
    if ((this.#spare.length + 1) * sent.length <= MAX_SPARE_BYTES) this.#spare.push(memory);
  }

  /** @returns where the bytes begin in the slab; they end at `#at` */
  #cut(bytes: number): number {
    if (this.#slab.bytes.length - this.#at < bytes) {
      this.#slab = memoryOf(Buffer.allocUnsafeSlow(SLAB_BYTES));
      this.#at = this.#nextRoom = 0;
      this.#rooms = [];
    }
    const start = this.#at;
    this.#at += bytes;
    return start;
  }
}

function memoryOf(bytes: Buffer): Memory {
  return { bytes, view: viewOf(bytes) };
}

function roomIn(memory: Memory, start: number, end: number, headerBytes: number): ReplyRoom {
  return { memory, start, end, offset: 0, payload: memory.bytes.subarray(start + headerBytes, end) };
}
