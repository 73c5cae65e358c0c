/**
 * One ggatec: requests come on one connection, answers leave on the other. Knows the stock client's habits:
 * its FLUSH is a request of no bytes at the end of the disk, its DELETE any other request with whatever
 * its buffer held, and after a reconnect it sends again what was not answered.
 * @see hast.md section 11
 */
import type { Socket } from 'node:net';
import type { BlockDevice } from '../model/block-device.ts';
import { errnoToWire } from '../protocol/hast-errno.ts';
import {
  GGATE_HEADER_BYTES,
  GGATE_MAX_BYTES,
  GgateCommand,
  GgateFlag,
  decodeGgateHeader,
  encodeGgateHeader,
  type GgateHeader,
} from '../protocol/ggate.ts';
import { readSplit, writeSplit } from './split-request.ts';

const MAX_DEVICE_PENDING_BYTES = 64 * 1024 * 1024;
/** Answers that wait for the client to take them, and reads under way. */
const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const MAX_REQUESTS_IN_FLIGHT = 1024;

export interface GgateSessionOptions {
  readonly device: BlockDevice;
  /** GgateFlag.READ_ONLY, WRITE_ONLY. */
  readonly flags: number;
  /** Requests come here. */
  readonly requests: Socket;
  /** What arrived on it already. */
  readonly early: Buffer;
  readonly answers: Socket;
  readonly onEnd: () => void;
}

interface IncomingWrite {
  readonly header: GgateHeader;
  /** Null: refused, the payload is only skipped. */
  readonly data: Buffer | null;
  readonly refusal: string | null;
  filled: number;
}

export class GgateSession {
  readonly #options: GgateSessionOptions;
  #unparsed: Buffer;
  #incoming: IncomingWrite | null = null;
  #inFlight = 0;
  #readBytes = 0;
  #paused = false;
  #ended = false;
  #batch: Buffer[] = [];
  #turnEnd: NodeJS.Immediate | null = null;

  constructor(options: GgateSessionOptions) {
    this.#options = options;
    this.#unparsed = options.early;
    const { requests, answers } = options;
    for (const socket of [requests, answers]) socket.on('close', () => this.end());
    requests.on('end', () => this.end());
    answers.on('end', () => this.end());
    answers.on('drain', () => this.resume());
    // Nothing is said on it but what it sends.
    answers.resume();
    requests.on('data', (chunk: Buffer) => {
      this.#unparsed = this.#unparsed.length === 0 ? chunk : Buffer.concat([this.#unparsed, chunk]);
      this.#parse();
    });
    this.#parse();
    if (!this.#paused) requests.resume();
  }

  /** May write: only one such session of an export is good for the order of writes. */
  get writes(): boolean {
    return (this.#options.flags & GgateFlag.READ_ONLY) === 0;
  }

  /** Reads on if nothing is in the way any more. */
  resume(): void {
    if (!this.#paused || this.#ended || this.#congested()) return;
    this.#paused = false;
    this.#parse();
    if (!this.#isPaused()) this.#options.requests.resume();
  }

  /** At once: nothing more is read, answered or passed to the device. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#unparsed = Buffer.alloc(0);
    this.#incoming = null;
    if (this.#turnEnd !== null) clearImmediate(this.#turnEnd);
    this.#options.requests.destroy();
    this.#options.answers.destroy();
    this.#options.onEnd();
  }

  #parse(): void {
    for (;;) {
      if (this.#ended) return;
      if (this.#congested()) {
        this.#paused = true;
        this.#options.requests.pause();
        return;
      }
      const more = this.#incoming === null ? this.#next() : this.#fill(this.#incoming);
      if (!more) return;
    }
  }

  #next(): boolean {
    if (this.#unparsed.length < GGATE_HEADER_BYTES) return false;
    const header = decodeGgateHeader(this.#unparsed);
    this.#unparsed = this.#unparsed.subarray(GGATE_HEADER_BYTES);
    const { command, offset, length } = header;
    const refusal = this.#refusal(header);
    const isFlush = length === 0 && offset === this.#options.device.sizeBytes;
    if (refusal === null && isFlush) {
      this.#inFlight += 1;
      this.#options.device.flush((error) => this.#settle(header, error, []));
    } else if (command === GgateCommand.WRITE && length > 0) {
      const data = refusal === null ? Buffer.allocUnsafeSlow(length) : null;
      this.#incoming = { header, data, refusal, filled: 0 };
    } else if (refusal !== null) {
      this.#reply(header, refusal, []);
    } else {
      this.#read(header);
    }
    return true;
  }

  /** EOPNOTSUPP: what is longer than the client's buffer is a DELETE in disguise. */
  #refusal({ command, offset, length }: GgateHeader): string | null {
    const { sizeBytes, sectorBytes } = this.#options.device;
    const { flags } = this.#options;
    if (command !== GgateCommand.READ && command !== GgateCommand.WRITE) return 'EOPNOTSUPP';
    if (length === 0) return offset === sizeBytes ? null : 'EINVAL';
    const forbidden = command === GgateCommand.READ ? GgateFlag.WRITE_ONLY : GgateFlag.READ_ONLY;
    if ((flags & forbidden) !== 0) return 'EPERM';
    if (offset % sectorBytes !== 0 || length % sectorBytes !== 0 || offset + length > sizeBytes)
      return 'EINVAL';
    return length > GGATE_MAX_BYTES ? 'EOPNOTSUPP' : null;
  }

  #fill(incoming: IncomingWrite): boolean {
    const { header, data, refusal } = incoming;
    const bytes = Math.min(this.#unparsed.length, header.length - incoming.filled);
    if (data !== null) this.#unparsed.copy(data, incoming.filled, 0, bytes);
    this.#unparsed = this.#unparsed.subarray(bytes);
    incoming.filled += bytes;
    if (incoming.filled < header.length) return false;
    this.#incoming = null;
    if (data === null) {
      this.#reply(header, refusal, []);
    } else {
      this.#inFlight += 1;
      writeSplit(this.#options.device, header.offset, data, false, (error) =>
        this.#settle(header, error, []),
      );
    }
    return true;
  }

  #read(header: GgateHeader): void {
    const { offset, length } = header;
    this.#inFlight += 1;
    this.#readBytes += length;
    const into = Buffer.allocUnsafe(length);
    readSplit(this.#options.device, offset, into, (error) => {
      this.#readBytes -= length;
      this.#settle(header, error, [into]);
    });
  }

  #settle(header: GgateHeader, error: string | null, payload: readonly Buffer[]): void {
    this.#inFlight -= 1;
    this.#reply(header, error, payload);
  }

  /** What is answered within one turn leaves together. */
  #reply(header: GgateHeader, error: string | null, payload: readonly Buffer[]): void {
    if (this.#ended) return;
    this.#batch.push(encodeGgateHeader({ ...header, error: error === null ? 0 : errnoToWire(error) }));
    if (error === null) this.#batch.push(...payload);
    this.#turnEnd ??= setImmediate(() => {
      this.#turnEnd = null;
      const { answers } = this.#options;
      answers.cork();
      for (const part of this.#batch) answers.write(part);
      answers.uncork();
      this.#batch = [];
      this.resume();
    });
  }

  #congested(): boolean {
    const { device, answers } = this.#options;
    return (
      this.#inFlight >= MAX_REQUESTS_IN_FLIGHT ||
      this.#batch.length >= 2 * MAX_REQUESTS_IN_FLIGHT ||
      this.#readBytes + answers.writableLength > MAX_REPLY_BYTES ||
      device.pendingBytes > MAX_DEVICE_PENDING_BYTES
    );
  }

  /** A method, because the compiler believes that parsing cannot have changed the field. */
  #isPaused(): boolean {
    return this.#paused;
  }
}
