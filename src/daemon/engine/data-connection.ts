/** One TCP connection of the data link, or what stands in for it behind a relay. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SocketReader } from '../../device/receive-slab.ts';
import { SendSlab } from '../../device/send-slab.ts';
import type { Held } from '../../protocol/buffer-pool.ts';
import type { ConnectionPort } from '../../replication/ports.ts';
import { quiet } from './quiet.ts';

/** onDrain is called when fewer bytes than this wait again. */
const LOW_WATER_BYTES = 1024 * 1024;
/** The engine holds back far below this; more means that it does not. */
const HARD_LIMIT_BYTES = 256 * 1024 * 1024;
/** How long a closed connection may take to send what it still has. */
const LINGER_MS = 1000;
/** A peer that never stops sending must not keep a promotion waiting. */
const DRAIN_LIMIT_MS = 2000;

export interface DataConnectionOptions {
  readonly lowWaterBytes?: number;
  /** Has what lies before the stream (a relay) hand over what it has. */
  readonly settle?: () => Promise<void>;
  /** Reads the socket in place of its `data` events. */
  readonly reader?: SocketReader;
}

export class DataConnection implements ConnectionPort {
  readonly remoteAddress: string;
  readonly #stream: Duplex;
  readonly #lowWater: number;
  readonly #settle: () => Promise<void>;
  readonly #reader: SocketReader | null;
  readonly #slab = new SendSlab();
  readonly #whenSent = (): void => this.#sent();
  #onData: ((chunk: Buffer) => void) | null = null;
  #onClose: ((reason: string) => void) | null = null;
  #onDrain: (() => void) | null = null;
  #overLowWater = false;
  #paused = false;
  #draining = false;
  #received = 0;
  /** Why it is closed, once it is. */
  #reason: string | null = null;
  #reported = false;

  /** Takes over the stream. Nothing is read before onData() is given a listener. */
  constructor(stream: Duplex, remoteAddress: string, options: DataConnectionOptions = {}) {
    this.#stream = stream;
    this.remoteAddress = remoteAddress;
    this.#lowWater = options.lowWaterBytes ?? LOW_WATER_BYTES;
    this.#settle = options.settle ?? (() => Promise.resolve());
    if (stream instanceof Socket) stream.setNoDelay(true);
    stream.pause();
    this.#reader = options.reader ?? null;
    if (this.#reader === null) stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('end', () => this.#closed('the peer closed the connection'));
    stream.on('error', (error: NodeJS.ErrnoException) => this.#closed(error.code ?? error.message));
    stream.on('close', () => this.#closed('the connection was closed'));
    // It ended while its first words were read.
    if (stream.destroyed) this.#closed('the connection was closed');
  }

  get pendingBytes(): number {
    return this.#reason === null ? this.#stream.writableLength : 0;
  }

  send(...parts: Buffer[]): number {
    if (this.#reason !== null) return 0;
    this.#slab.send(this.#stream, parts, this.#whenSent);
    const pending = this.#stream.writableLength;
    if (pending >= this.#lowWater) this.#overLowWater = true;
    if (pending > HARD_LIMIT_BYTES) this.close(`${pending} bytes wait to be sent, more than allowed`);
    return pending;
  }

  onData(listener: (chunk: Buffer) => void): void {
    const first = this.#onData === null;
    this.#onData = listener;
    if (first) this.#reader?.listen((chunk) => this.#receive(chunk));
    if (!this.#paused) this.#stream.resume();
  }

  onClose(listener: (reason: string) => void): void {
    this.#onClose = listener;
    if (this.#reported && this.#reason !== null) {
      const reason = this.#reason;
      process.nextTick(() => listener(reason));
    }
  }

  onDrain(listener: () => void): void {
    this.#onDrain = listener;
  }

  reuse(): void {
    this.#reader?.reuse();
  }

  hold(data: Buffer): Held | null {
    return this.#reader?.hold(data) ?? null;
  }

  land(where: () => Buffer | number): void {
    this.#reader?.land(where);
  }

  pause(): void {
    this.#paused = true;
    if (!this.#draining) this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#onData !== null) this.#stream.resume();
  }

  /** Delivers even while paused. Resolves within 2 s, whatever the peer sends. */
  async drain(): Promise<void> {
    if (this.#reason !== null || this.#onData === null) return;
    this.#draining = true;
    this.#stream.resume();
    const limit = performance.now() + DRAIN_LIMIT_MS;
    try {
      await Promise.race([this.#settle(), timeout(DRAIN_LIMIT_MS)]);
      await quiet(
        () => this.#received,
        () => this.#reason !== null || performance.now() > limit,
      );
    } finally {
      this.#draining = false;
      if (this.#paused) this.#stream.pause();
    }
  }

  /** What was sent before may still go out for one second; nothing more is delivered. */
  close(reason: string): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#stream.end();
    this.#stream.resume();
    const timer = setTimeout(() => this.#stream.destroy(), LINGER_MS);
    this.#stream.once('close', () => clearTimeout(timer));
    process.nextTick(() => this.#report());
  }

  #receive(chunk: Buffer): void {
    if (this.#reason !== null) return;
    this.#received += chunk.length;
    this.#onData?.(chunk);
  }

  #sent(): void {
    if (!this.#overLowWater || this.pendingBytes >= this.#lowWater) return;
    this.#overLowWater = false;
    if (this.#reason === null) this.#onDrain?.();
  }

  /** The stream ended by itself, or after close(). */
  #closed(reason: string): void {
    this.#stream.destroy();
    this.#reason ??= reason;
    this.#report();
  }

  #report(): void {
    if (this.#reported || this.#reason === null) return;
    this.#reported = true;
    this.#onClose?.(this.#reason);
  }
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
