/**
 * The primary's end of the data link: requests go out on conn1, replies come in on conn2.
 * Requests are matched by seq, which is unique here, so a sync request never meets a user's.
 * @see hast.md sections 4 and 6
 */
import { describeError } from '../model/errors.ts';
import type { CompressionKind } from '../model/roles.ts';
import {
  BATCH,
  decodeBatch,
  DIGEST,
  encodeFrame,
  encodeRequest,
  errnoFromWire,
  FrameReader,
  HAST_CMD,
  packPayload,
  unpackPayload,
} from '../protocol/hast-message.ts';
import type { Frame, HastCommand } from '../protocol/hast-message.ts';
import { BufferPool } from '../protocol/buffer-pool.ts';
import type { NvField, NvMap } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';
import { MAXPHYS } from './core.ts';
import type { PeerWords } from './heartbeat.ts';
import type { ConnectionPort } from './ports.ts';

/** Bytes in the socket's queue above which requests wait here, so that heartbeats do not wait behind them. */
const HIGH_WATER = 1024 * 1024;
/** Bytes of a frame's fields, and of its data where nothing else was agreed. */
export const LINK_LIMITS = { maxNvBytes: 64 * 1024, maxDataBytes: 2 * MAXPHYS };

/** Whoever asked. One object may stand behind several requests. */
export interface Asker {
  /** memsync: the peer has it in memory. */
  received(): void;
  /** The final answer; `data` for a READ without error. */
  answered(error: string | null, data: Buffer | null): void;
  /** The link died before the final answer. */
  lost(): void;
}

interface Outstanding {
  readonly seq: number;
  readonly asker: Asker;
  /** Bytes that a READ asks for, else 0. */
  readonly readLength: number;
  /** It asks for the digest of them. */
  readonly digest: boolean;
  awaitsReceived: boolean;
}

export interface LinkEvents {
  /** A frame without seq: heartbeats and answers of a hastate peer. */
  control(nv: NvMap): void;
  closed(reason: string): void;
}

export class Link {
  readonly version: number;
  /** Null: the peer is a plain hastd. */
  readonly words: PeerWords | null;
  readonly #core: EngineCore;
  readonly #out: ConnectionPort;
  readonly #in: ConnectionPort;
  readonly #events: LinkEvents;
  readonly #reader = new FrameReader(LINK_LIMITS);
  #outstanding: Outstanding[] = [];
  #head = 0;
  #backlog: Buffer[][] = [];
  #slab: Buffer[] = [];
  #slabBytes = 0;
  #scheduled = false;
  #seq = 0;
  #closed = false;
  /** Bytes of one request at most. */
  readonly maxRequest: number;
  /** When the oldest wait for an answer began, and when anything was last sent. ms. */
  #progressAt: number;
  #sentAt: number;
  #heardAt: number;

  constructor(
    core: EngineCore,
    out: ConnectionPort,
    incoming: ConnectionPort,
    version: number,
    words: PeerWords | null,
    events: LinkEvents,
  ) {
    this.#core = core;
    this.#out = out;
    this.#in = incoming;
    this.version = version;
    this.words = words;
    this.maxRequest = words?.maxRequest ?? MAXPHYS;
    // No answer is kept: what it holds is used before the next is read.
    this.#reader.admit(this.maxRequest + MAXPHYS, new BufferPool(0));
    this.#events = events;
    this.#progressAt = this.#sentAt = this.#heardAt = core.ports.clock.now();
    out.onData(() => this.close('the peer sent data on the request connection'));
    out.onClose((reason) => this.close(reason));
    out.onDrain(() => this.#pump());
    incoming.onClose((reason) => this.close(reason));
    incoming.land?.(() => this.#reader.window());
    incoming.onData((chunk) => this.#take(chunk));
  }

  /** Takes what arrived before this object was there. */
  begin(early: readonly Buffer[]): void {
    for (const chunk of early) this.#take(chunk);
  }

  isUp(): boolean {
    return !this.#closed;
  }
  get outstanding(): number {
    return this.#outstanding.length - this.#head;
  }
  /** Of these, the ones that wait until the socket takes more. */
  get unsent(): number {
    return this.#backlog.length;
  }

  /** At most `maxRequest` bytes. `data` is not changed and must not be until the answer. */
  request(
    cmd: HastCommand,
    offset: number,
    length: number,
    data: Buffer | null,
    memsync: boolean,
    asker: Asker,
    compression: CompressionKind = this.#core.setup.resource.compression,
  ): void {
    if (this.#closed) {
      asker.lost();
      return;
    }
    const seq = ++this.#seq;
    const { checksum } = this.#core.setup.resource;
    if (this.outstanding === 0) this.#progressAt = this.#core.ports.clock.now();
    this.#outstanding.push({
      seq,
      asker,
      readLength: cmd === HAST_CMD.READ ? length : 0,
      digest: false,
      awaitsReceived: memsync,
    });
    if (data === null) {
      this.#send([encodeRequest(this.version, cmd, seq, offset, length)]);
      return;
    }
    const packed = packPayload(data, checksum, compression);
    const dataFields = packed.fields;
    const size = packed.data.length;
    const head = encodeRequest(this.version, cmd, seq, offset, length, { memsync, dataFields, size });
    this.#send([head, packed.data]);
  }

  /** Asks for the digest() of what a range holds, of a peer that knows how to tell it. */
  digest(offset: number, length: number, asker: Asker): void {
    if (this.#closed) {
      asker.lost();
      return;
    }
    const seq = ++this.#seq;
    if (this.outstanding === 0) this.#progressAt = this.#core.ports.clock.now();
    this.#outstanding.push({ seq, asker, readLength: length, digest: true, awaitsReceived: false });
    const extra = [{ name: DIGEST, type: 'uint8', value: 1 } as const];
    this.#send([encodeRequest(this.version, HAST_CMD.READ, seq, offset, length, { extra })]);
  }

  /** A frame that a plain hastd takes for a keepalive. Overtakes requests that wait. */
  control(fields: readonly NvField[]): void {
    if (this.#closed) return;
    this.#sentAt = this.#core.ports.clock.now();
    this.#out.send(
      ...encodeFrame(this.version, [{ name: 'cmd', type: 'uint8', value: HAST_CMD.KEEPALIVE }, ...fields]),
    );
  }

  /** Reads what has arrived already. */
  async drain(): Promise<void> {
    if (!this.#closed) await this.#in.drain();
  }

  /** ms since the peer last made progress with what it owes us; 0 when it owes nothing. */
  stalledFor(now: number): number {
    return this.outstanding === 0 ? 0 : now - this.#progressAt;
  }
  silentFor(now: number): number {
    return now - this.#heardAt;
  }
  idleFor(now: number): number {
    return now - this.#sentAt;
  }

  /** Everything outstanding is lost. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#out.close(reason);
    this.#in.close(reason);
    this.#backlog = [];
    this.#slab = [];
    const lost = this.#outstanding.slice(this.#head);
    this.#outstanding = [];
    this.#head = 0;
    this.#events.closed(reason);
    for (const { asker } of lost) asker.lost();
  }

  #send(parts: Buffer[]): void {
    if (this.#backlog.length > 0 || this.#out.pendingBytes + this.#slabBytes > HIGH_WATER) {
      this.#backlog.push(parts);
      return;
    }
    for (const part of parts) {
      this.#slab.push(part);
      this.#slabBytes += part.length;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** Sends what was collected in this turn, then what waits, up to the high-water mark. */
  #pump(): void {
    if (this.#closed) return;
    if (this.#slab.length > 0) {
      const parts = this.#slab;
      this.#slab = [];
      this.#slabBytes = 0;
      this.#sentAt = this.#core.ports.clock.now();
      this.#out.send(...parts);
    }
    let sent = 0;
    while (sent < this.#backlog.length && this.#out.pendingBytes <= HIGH_WATER)
      this.#out.send(...(this.#backlog[sent++] ?? []));
    if (sent > 0) this.#backlog.splice(0, sent);
  }

  #take(chunk: Buffer): void {
    if (this.#closed) return;
    const { lease, clock } = this.#core.ports;
    try {
      const frames = this.#reader.push(chunk);
      if (frames.length > 0 || this.#reader.isInData) {
        const now = clock.now();
        lease.heard(now);
        this.#heardAt = now;
      }
      for (const frame of frames) {
        if (!this.isUp()) return;
        this.#reply(frame);
      }
    } catch (error) {
      this.close(`the peer sent what cannot be read: ${describeError(error)}`);
    }
  }

  #reply({ nv, data }: Frame): void {
    const seq = nv.size('seq');
    if (seq === undefined) {
      if (!this.#batch(nv)) this.#events.control(nv);
      return;
    }
    const index = this.#find(seq);
    const entry = this.#outstanding[index];
    if (entry === undefined) {
      this.close(`the peer answered request ${seq}, which was not asked`);
      return;
    }
    const errno = nv.number('error', 'int16') ?? 0;
    if (nv.has('received') && errno === 0) {
      if (!entry.awaitsReceived) {
        this.close(`the peer sent an unexpected "received" for request ${seq}`);
        return;
      }
      entry.awaitsReceived = false;
      entry.asker.received();
      return;
    }
    this.#progressAt = this.#heardAt;
    let content: Buffer | null = null;
    if (entry.readLength > 0 && errno === 0) {
      content = entry.digest
        ? (nv.bytes(DIGEST) ?? null)
        : data && unpackPayload(nv, data, entry.readLength, this.maxRequest);
      if (content === null) {
        this.close(`the peer answered READ ${seq} without ${entry.digest ? 'a digest' : 'data'}`);
        return;
      }
    }
    this.#remove(index);
    entry.asker.answered(errno === 0 ? null : errnoFromWire(errno), content);
  }

  /** @returns false when it is none */
  #batch(nv: NvMap): boolean {
    if (this.words?.batches !== true) return false;
    const received = nv.bytes(BATCH.received);
    if (received !== undefined) {
      for (const seq of decodeBatch(received)) {
        const entry = this.#outstanding[this.#find(seq)];
        if (entry?.awaitsReceived !== true) {
          this.close(`the peer sent an unexpected "received" for request ${seq}`);
          return true;
        }
        entry.awaitsReceived = false;
        entry.asker.received();
      }
    }
    const done = nv.bytes(BATCH.done);
    if (done === undefined) return received !== undefined;
    this.#progressAt = this.#heardAt;
    for (const seq of decodeBatch(done)) {
      const index = this.#find(seq);
      const entry = this.#outstanding[index];
      if (entry === undefined || entry.readLength > 0) {
        this.close(`the peer answered request ${seq}, which it was not asked so`);
        return true;
      }
      this.#remove(index);
      entry.asker.answered(null, null);
    }
    return true;
  }

  #find(seq: number): number {
    for (let i = this.#head; i < this.#outstanding.length; i++)
      if (this.#outstanding[i]?.seq === seq) return i;
    return -1;
  }

  #remove(index: number): void {
    if (index !== this.#head) {
      this.#outstanding.splice(index, 1);
      return;
    }
    this.#head++;
    if (this.#head > 64 && this.#head * 2 > this.#outstanding.length) {
      this.#outstanding = this.#outstanding.slice(this.#head);
      this.#head = 0;
    }
  }
}
