/**
 * Replies of one turn of the event loop, sent in one go: headers and small payloads in
 * one slab, large payloads by reference between them.
 */
import type { Socket } from 'node:net';
import { SIMPLE_REPLY_BYTES, writeSimpleReply, type NbdSimpleReply } from '../protocol/nbd.ts';

/** Copying up to here costs less than one more element of a writev. */
const COPY_LIMIT_BYTES = 32 * 1024;

interface Entry {
  readonly reply: NbdSimpleReply;
  readonly payload: readonly Buffer[];
}

export class ReplyBatch {
  #entries: Entry[] = [];
  #bytes = 0;

  /** Bytes that flush() will write. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param payload belongs to the batch from now on */
  add(reply: NbdSimpleReply, payload: readonly Buffer[]): void {
    this.#entries.push({ reply, payload });
    this.#bytes += SIMPLE_REPLY_BYTES;
    for (const part of payload) this.#bytes += part.length;
  }

  /** Hands everything to the socket, in order. */
  flush(socket: Socket): void {
    if (this.#entries.length === 0) return;
    const entries = this.#entries;
    this.#entries = [];
    this.#bytes = 0;
    const slab = Buffer.allocUnsafe(slabBytes(entries));
    let at = 0;
    let sent = 0;
    socket.cork();
    for (const { reply, payload } of entries) {
      at = writeSimpleReply(slab, at, reply);
      for (const part of payload) {
        if (part.length <= COPY_LIMIT_BYTES) {
          at += part.copy(slab, at);
          continue;
        }
        socket.write(slab.subarray(sent, at));
        socket.write(part);
        sent = at;
      }
    }
    if (at > sent) socket.write(slab.subarray(sent, at));
    socket.uncork();
  }
}

function slabBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const { payload } of entries) {
    bytes += SIMPLE_REPLY_BYTES;
    for (const part of payload) if (part.length <= COPY_LIMIT_BYTES) bytes += part.length;
  }
  return bytes;
}
