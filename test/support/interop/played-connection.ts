/** One end of a data connection in the test's hand: bytes out, whole messages in, nothing else by itself. */
import { connect, type Socket } from 'node:net';

import { FRAME_HEADER_BYTES } from '../../../src/protocol/hast-frame.ts';
import { decodeNv } from '../../../src/protocol/nv.ts';
import type { Compared } from './compare.ts';

const PATIENCE_MS = 15_000;

/** @returns the message that starts there, or null while it is not whole */
export function messageAt(stream: Buffer, at: number): Compared | null {
  if (stream.length < at + FRAME_HEADER_BYTES) return null;
  const nvEnd = at + FRAME_HEADER_BYTES + stream.readUInt32LE(at + 1);
  if (stream.length < nvEnd) return null;
  const nv = decodeNv(stream.subarray(at + FRAME_HEADER_BYTES, nvEnd));
  const end = nvEnd + (nv.number('size', 'uint32') ?? 0);
  if (stream.length < end) return null;
  const data = end > nvEnd ? stream.subarray(nvEnd, end) : null;
  return { version: stream[at] ?? 0, nv, data, bytes: stream.subarray(at, end) };
}

export class PlayedConnection {
  readonly received: Compared[] = [];
  readonly #socket: Socket;
  #rest = Buffer.alloc(0);
  #ended = false;
  #failure: unknown = null;
  #waiting: (() => void)[] = [];

  /** Takes the socket over. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => undefined);
    for (const over of ['end', 'close'] as const)
      socket.on(over, () => {
        this.#ended = true;
        this.#tell();
      });
  }

  static async to(port: number, host: string, localAddress: string): Promise<PlayedConnection> {
    const socket = connect({ port, host, localAddress });
    const played = new PlayedConnection(socket);
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return played;
  }

  /** The other side closed it. */
  get ended(): boolean {
    return this.#ended;
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.end();
    this.#socket.resume();
  }

  /** @throws Error when the other side closes or does not say so many messages in time */
  async untilReceived(count: number): Promise<void> {
    await this.#until(`${count} messages`, () => this.received.length >= count || this.#ended);
    if (this.received.length < count)
      throw new Error(`closed after ${this.received.length} messages instead of ${count}`);
  }

  async untilEnded(): Promise<void> {
    await this.#until('the end', () => this.#ended);
  }

  async #until(what: string, reached: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!reached()) {
      if (this.#failure !== null) throw new Error('what came is no message', { cause: this.#failure });
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${what} did not come; ${this.received.length} messages did`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    try {
      let at = 0;
      for (let next = messageAt(this.#rest, at); next !== null; next = messageAt(this.#rest, at)) {
        this.received.push(next);
        at += next.bytes.length;
      }
      this.#rest = this.#rest.subarray(at);
    } catch (error) {
      this.#failure = error;
    }
    this.#tell();
  }

  #tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
