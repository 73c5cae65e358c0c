/**
 * One NBD client, from greeting to disconnect. Parses everything that a socket chunk
 * holds in place; what the device answers within one turn is sent in one go.
 */
import type { Socket } from 'node:net';
import type { BlockDevice } from '../model/block-device.ts';
import { BufferPool } from '../protocol/buffer-pool.ts';
import { WireError } from '../model/errors.ts';
import {
  CommandFlag,
  MAX_PAYLOAD_BYTES,
  NbdCommand,
  REQUEST_BYTES,
  nbdError,
  noRequest,
  readRequest,
  type NbdRequest,
} from '../protocol/nbd.ts';
import { encodeGreeting } from '../protocol/nbd-negotiation.ts';
import { NbdHandshake, type Agreed, type ExportOffer } from './nbd-handshake.ts';
import { refusalOf } from './nbd-refusal.ts';
import { readInto, ReceiveSlab, type Receiver } from './receive-slab.ts';
import { ALLOCATION_CONTEXT } from './nbd-contexts.ts';
import { ReplyBatch, type ReplyRoom } from './reply-batch.ts';
import { readSplit, writeSplit } from './split-request.ts';
import { startWithoutData } from './nbd-no-data.ts';
import { Tickets, type Ticket } from './ticket.ts';
import { Unparsed } from './unparsed.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;
const GOODBYE_TIMEOUT_MS = 10_000;
/** Writes that the device has taken and not answered, over all clients. */
const MAX_DEVICE_PENDING_BYTES = 64 * 1024 * 1024;
/** Replies being read or waiting for one client to take them. */
const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const MAX_REQUESTS_IN_FLIGHT = 1024;
/** Requests after which what was answered is sent, so that the client has work while we go on. */
const BURST = 16;
/** A payload of at most this waits where it was received until all of it is there. */
const IN_PLACE_BYTES = 32 * 1024;
/** Of one answer to BLOCK_STATUS: the client asks on. */
const MAX_PIECES = 128;
/** Behind a write of more than this another is expected, of which little is read with its header. */
const LARGE_BYTES = 128 * 1024;
const HEADER_WINDOW_BYTES = 4096;
/** Of large writes that were done, for the next ones. */
const MAX_SPARE_BYTES = 16 * 1024 * 1024;

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly device: BlockDevice;
  readonly offer: ExportOffer;
  /** The device answered something: other clients may be able to go on. */
  readonly onProgress: () => void;
  /** It is agreed what is exported to this client. */
  readonly onAgreed: () => void;
  /** The client sent garbage and was closed. */
  readonly onGarbage: (error: WireError) => void;
}

interface IncomingWrite {
  /** A copy: the one that is parsed into is used for the next request. */
  readonly request: NbdRequest;
  /** Null: the request is refused, its payload only skipped. */
  readonly data: Buffer | null;
  readonly refusal: string | null;
  filled: number;
}

export class NbdConnection implements Receiver {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #device: BlockDevice;
  readonly #handshake: NbdHandshake;
  readonly #batch = new ReplyBatch();
  readonly #slab = new ReceiveSlab();
  readonly #payloads = new BufferPool(MAX_SPARE_BYTES);
  readonly #tickets = new Tickets((ticket, error) => this.#settle(ticket, error));
  readonly #unparsed = new Unparsed();
  readonly #request = noRequest();
  #agreed: Agreed;
  #incoming: IncomingWrite | null = null;
  #inFlight = 0;
  #readBytes = 0;
  #phase: 'handshake' | 'transmission' | 'leaving' | 'closed' = 'handshake';
  /** Answers are collected, a flush will follow. */
  #collecting = false;
  /** There is more to parse than the burst knew of. */
  #again = false;
  #lastWasLarge = false;
  #paused = false;
  #turnEnd: NodeJS.Immediate | null = null;
  #heard = { bytes: 0, at: 0 };

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#slab.reuse();
    const { socket } = options;
    const own = readInto(socket, this);
    this.#socket = own ?? socket;
    own?.once('close', () => socket.destroy());
    this.#device = options.device;
    this.#handshake = new NbdHandshake(options.offer);
    this.#agreed = this.#handshake.agreed;
    this.#socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => this.close());
    // `close` follows every error and does what is needed.
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => this.close());
    this.#socket.on('drain', () => this.resume());
    this.#socket.on('end', () => {
      this.#leave();
      this.#endTurn();
    });
    if (own === null) socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.write(encodeGreeting());
    this.#socket.resume();
  }

  /** A payload that is partly here is read to where it will stay. */
  window(): Buffer {
    if (this.#unparsed.length === 0) {
      if (this.#incoming?.data) return this.#incoming.data.subarray(this.#incoming.filled);
      this.#slab.rewind();
    } else {
      this.#unparsed.moved(this.#slab.carry(this.#unparsed.rest));
    }
    return this.#slab.window(this.#lastWasLarge ? HEADER_WINDOW_BYTES : undefined);
  }

  filled(bytes: number, window: Buffer): void {
    if (this.#phase === 'closed') return;
    const incoming = this.#incoming;
    const { data = null, filled = 0 } = incoming ?? {};
    if (incoming === null || data === null || window.buffer !== data.buffer) {
      this.#take(this.#slab.take(bytes));
      return;
    }
    // It lies there already: nothing is copied, and before its end there is nothing to do.
    if (filled + bytes < data.length) incoming.filled += bytes;
    else this.#take(data.subarray(filled, filled + bytes));
  }

  /** Reads on if nothing is in the way any more. */
  resume(): void {
    if (!this.#paused || this.#phase === 'closed' || this.#congested()) return;
    this.#paused = false;
    this.#parse();
    if (!this.#isPaused()) this.#socket.resume();
  }

  /** For how long a request has been half here without one more byte of it. ms; `now` is monotonic. */
  stalledMs(now: number): number {
    const isHalf = this.#incoming !== null || this.#unparsed.length > 0;
    const bytes = this.#socket.bytesRead;
    if (!isHalf || this.#phase !== 'transmission' || this.#paused || bytes !== this.#heard.bytes)
      this.#heard = { bytes, at: now };
    return now - this.#heard.at;
  }

  /** At once: nothing more is read, answered or passed to the device. */
  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#unparsed.clear();
    this.#incoming = null;
    if (this.#turnEnd !== null) clearImmediate(this.#turnEnd);
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    // Who said goodbye has nothing more to say.
    if (this.#phase === 'leaving') return;
    this.#unparsed.add(chunk);
    this.#parse();
  }

  #parse(): void {
    if (this.#collecting) {
      this.#again = true;
      return;
    }
    this.#collecting = true;
    this.#again = false;
    let left = BURST;
    try {
      while (left > 0 && !this.#hold() && this.#step()) left -= 1;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.close();
      this.#options.onGarbage(error);
    }
    // Behind what the device does in this turn, which answers most of the burst.
    queueMicrotask(() => {
      this.#collecting = false;
      this.#endTurn();
      if ((left === 0 || this.#again) && !this.#paused) this.#parse();
      else this.#goOn();
    });
  }

  #goOn(): void {
    this.resume();
    this.#options.onProgress();
  }

  /** True: over a bound; the client waits until resume(). */
  #hold(): boolean {
    if (this.#phase !== 'transmission' || !this.#congested()) return false;
    this.#paused = true;
    this.#socket.pause();
    return true;
  }

  /** Parses one thing. False: more bytes are needed, or the client is gone. */
  #step(): boolean {
    switch (this.#phase) {
      case 'handshake':
        return this.#negotiate();
      case 'transmission':
        return this.#incoming === null ? this.#nextRequest() : this.#fill(this.#incoming);
      case 'leaving':
      case 'closed':
        return false;
    }
  }

  #negotiate(): boolean {
    const step = this.#handshake.step(this.#unparsed.rest);
    if (step === null) return false;
    this.#unparsed.skip(step.consumed);
    if (step.answer !== null) this.#socket.write(step.answer);
    if (step.next === 'transmission') {
      this.#socket.setTimeout(0);
      this.#phase = 'transmission';
      this.#agreed = this.#handshake.agreed;
      if (this.#agreed.structured) this.#batch.structure();
      this.#options.onAgreed();
    }
    if (step.next === 'end') this.#leave();
    return true;
  }

  #nextRequest(): boolean {
    const unparsed = this.#unparsed;
    if (unparsed.length < REQUEST_BYTES) return false;
    const request = readRequest(unparsed.view, unparsed.at, this.#request);
    const { type, length } = request;
    if (type === NbdCommand.WRITE) {
      if (length <= IN_PLACE_BYTES && unparsed.length < REQUEST_BYTES + length) return false;
      unparsed.skip(REQUEST_BYTES);
      this.#lastWasLarge = length > LARGE_BYTES;
      this.#takePayload(request, refusalOf(request, this.#device, this.#agreed));
      return true;
    }
    unparsed.skip(REQUEST_BYTES);
    this.#lastWasLarge = false;
    const refusal = refusalOf(request, this.#device, this.#agreed);
    if (refusal !== null) this.#refuse(request, refusal);
    else this.#start(request);
    return true;
  }

  #takePayload(request: NbdRequest, refusal: string | null): void {
    const { length } = request;
    if (length > MAX_PAYLOAD_BYTES) {
      throw new WireError(
        'nbd-payload',
        24,
        'request.length',
        `NBD write of ${length} bytes, more than ${MAX_PAYLOAD_BYTES}`,
      );
    }
    if (refusal !== null) {
      this.#incoming = { request: { ...request }, data: null, refusal, filled: 0 };
    } else if (this.#unparsed.length >= length) {
      // Asked for each payload: the rest of a burst may have moved since the last one.
      const data = this.#unparsed.take(length);
      const holder = this.#slab.holderOf(data);
      holder?.hold();
      this.#startWrite(request, data, holder?.release);
    } else {
      const data = this.#payloads.take(length);
      this.#incoming = { request: { ...request }, data, refusal: null, filled: 0 };
    }
  }

  #fill(incoming: IncomingWrite): boolean {
    const { request, data, refusal } = incoming;
    const bytes = Math.min(this.#unparsed.length, request.length - incoming.filled);
    const here = this.#unparsed.take(bytes);
    if (data !== null && here.buffer !== data.buffer) here.copy(data, incoming.filled);
    incoming.filled += bytes;
    if (incoming.filled < request.length) return false;
    this.#incoming = null;
    if (data === null) this.#refuse(request, refusal);
    else this.#startWrite(request, data, () => this.#payloads.give(data));
    return true;
  }

  #start(request: NbdRequest): void {
    const { type, offset, length } = request;
    if (type === NbdCommand.DISC) {
      this.#leave();
      return;
    }
    this.#inFlight += 1;
    if (type !== NbdCommand.READ) {
      if (type === NbdCommand.BLOCK_STATUS) this.#ask(request);
      else startWithoutData(this.#device, request, this.#tickets.take(request, null).done);
      return;
    }
    this.#readBytes += length;
    const room = this.#batch.room(length);
    room.offset = offset;
    const ticket = this.#tickets.take(request, room);
    if (length <= this.#device.maxRequestBytes) this.#device.read(offset, length, ticket.read, room.payload);
    else readSplit(this.#device, offset, room.payload, ticket.done);
  }

  #ask({ cookieHigh, cookieLow, flags, offset, length }: NbdRequest): void {
    const most = (flags & CommandFlag.REQ_ONE) === 0 ? MAX_PIECES : 1;
    this.#device.allocation?.(offset, length, most, (error, pieces) => {
      this.#inFlight -= 1;
      if (this.#phase === 'closed') {
        this.#options.onProgress();
        return;
      }
      if (error === null && pieces.length > 0)
        this.#batch.addStatus(cookieHigh, cookieLow, ALLOCATION_CONTEXT, pieces);
      else this.#batch.add(nbdError(error ?? 'EIO'), cookieHigh, cookieLow, null);
      this.#sendSoon();
    });
  }

  #startWrite(request: NbdRequest, data: Buffer, free: (() => void) | undefined): void {
    this.#inFlight += 1;
    const fua = (request.flags & CommandFlag.FUA) !== 0;
    const { done } = this.#tickets.take(request, null);
    if (data.length <= this.#device.maxRequestBytes)
      this.#device.write(request.offset, data, fua, done, free);
    else writeSplit(this.#device, request.offset, data, fua, done, free);
  }

  #settle(ticket: Ticket, error: string | null): void {
    const { cookieHigh, cookieLow, room } = ticket;
    this.#tickets.give(ticket);
    this.#inFlight -= 1;
    if (room !== null) this.#readBytes -= room.payload.length;
    if (this.#phase === 'closed') this.#options.onProgress();
    else this.#reply(cookieHigh, cookieLow, error, room);
  }

  #refuse({ cookieHigh, cookieLow }: NbdRequest, refusal: string | null): void {
    this.#reply(cookieHigh, cookieLow, refusal, null);
  }

  #reply(cookieHigh: number, cookieLow: number, error: string | null, room: ReplyRoom | null): void {
    this.#batch.add(nbdError(error), cookieHigh, cookieLow, room);
    this.#sendSoon();
  }

  #sendSoon(): void {
    if (this.#collecting || this.#turnEnd !== null) return;
    this.#turnEnd = setImmediate(() => {
      this.#turnEnd = null;
      this.#endTurn();
      this.#goOn();
    });
  }

  #endTurn(): void {
    if (this.#phase === 'closed') return;
    this.#batch.flush(this.#socket);
    if (this.#phase !== 'leaving' || this.#inFlight > 0) return;
    this.#socket.setTimeout(GOODBYE_TIMEOUT_MS);
    this.#socket.end();
  }

  /** What was asked before is still answered. */
  #leave(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'leaving';
    this.#unparsed.clear();
  }

  #congested(): boolean {
    return (
      this.#inFlight >= MAX_REQUESTS_IN_FLIGHT ||
      this.#readBytes + this.#batch.bytes + this.#socket.writableLength > MAX_REPLY_BYTES ||
      this.#device.pendingBytes > MAX_DEVICE_PENDING_BYTES
    );
  }

  /** A method, because the compiler believes that parsing cannot have changed the field. */
  #isPaused(): boolean {
    return this.#paused;
  }
}
