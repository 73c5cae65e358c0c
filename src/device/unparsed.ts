/** What a client has sent and nobody has parsed yet: the rest of one piece of memory, and a view of it. */
import { viewOf } from '../protocol/nbd.ts';
import { joined } from './receive-slab.ts';

const NOTHING: Buffer = Buffer.alloc(0);

export class Unparsed {
  #bytes = NOTHING;
  #view = viewOf(NOTHING);
  #at = 0;

  get length(): number {
    return this.#bytes.length - this.#at;
  }
  /** Of memory in which the next byte stands `at`. */
  get view(): DataView {
    return this.#view;
  }
  get at(): number {
    return this.#at;
  }
  /** All of it. */
  get rest(): Buffer {
    return this.#at === 0 ? this.#bytes : this.#bytes.subarray(this.#at);
  }

  add(chunk: Buffer): void {
    this.#set(this.length === 0 ? chunk : joined(this.rest, chunk));
  }

  /** It lies elsewhere now. */
  moved(rest: Buffer): void {
    this.#set(rest);
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  take(bytes: number): Buffer {
    const start = this.#at;
    this.#at += bytes;
    return this.#bytes.subarray(start, this.#at);
  }

  clear(): void {
    this.#set(NOTHING);
  }

  #set(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#at = 0;
  }
}
