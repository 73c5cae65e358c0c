/**
 * The secondary's end of the data link: applies requests from conn1 in order of overlap, answers
 * on conn2 in order of request. A bit of the own map is durable before each write and clears only
 * after fdatasync, so that the next handshake tells what a power cut may have taken (SAFETY A6).
 * @see hast.md section 6
 */
import { Buffer } from 'node:buffer';
import { describeError, NetError } from '../model/errors.ts';
import type { ResourceQueues } from '../protocol/control.ts';
import { BufferPool } from '../protocol/buffer-pool.ts';
import { DIGEST, encodeFrame, HAST_CMD, unpackPayload } from '../protocol/hast-message.ts';
import type { Frame, FrameReader } from '../protocol/hast-message.ts';
import type { NvMap } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';
import { extentsOf, MAXPHYS, reportDiskError } from './core.ts';
import { putZeros } from './discard-op.ts';
import { Heartbeat, readWords } from './heartbeat.ts';
import type { PeerWords } from './heartbeat.ts';
import { InFlight } from './in-flight.ts';
import type { ConnectionPort } from './ports.ts';
import { withRange } from './rangelock.ts';
import { ReplyQueue } from './reply-queue.ts';
import type { Slot } from './reply-queue.ts';

/** hastd's keepalive comes every 10 s. ms. */
const HASTD_SILENCE_MS = 20_000;
/** Of requests under way, and of answers that the primary does not read. */
const MAX_INFLIGHT_BYTES = 256 * 1024 * 1024;
const MAX_INFLIGHT = 32_768;
/** Of large payloads that were written, for the next ones. */
const MAX_SPARE_BYTES = 8 * 1024 * 1024;
/** As the primary does, so that the own map does not grow. */
const OWN_FLUSH_MS = 2000;
/** A longer DELETE is not supported: zeroing it would hold up everything. Bytes. */
const MAX_DELETE_BYTES = 64 * 1024 * 1024;

export interface SessionHost {
  /** Our disk is the target of a resync from here on: resolves when that is durable. */
  syncStart(words: PeerWords): Promise<void>;
  /** We have everything: resolves when that is durable. */
  inSync(words: PeerWords): Promise<void>;
  /** A write or flush failed: this disk lacks what was received. */
  damaged(): void;
  /** The primary found something in our handshake that it does not accept. */
  refused(reason: string): void;
  /** @param at when the first of its connections was lost. ms of the clock */
  closed(reason: string, at: number): void;
}

export class Session {
  readonly words: PeerWords | null;
  /** A write or flush of this session failed: it cannot end in sync. */
  hurt = false;
  /** What was written before a flush failed may be gone with what it covered (A6). */
  #flushFailed = false;
  readonly #core: EngineCore;
  readonly #in: ConnectionPort;
  readonly #out: ConnectionPort;
  readonly #version: number;
  readonly #reader: FrameReader;
  readonly #host: SessionHost;
  readonly #heartbeat: Heartbeat;
  readonly #replies: ReplyQueue;
  readonly #batches: boolean;
  readonly #maxRequest: number;
  #closed = false;
  #lostAt: number | null = null;
  #heardAt: number;
  readonly #inFlight = new InFlight();
  #cancelFlush: (() => void) | null = null;
  #flushing = false;
  #served = false;

  constructor(
    core: EngineCore,
    incoming: ConnectionPort,
    out: ConnectionPort,
    reader: FrameReader,
    version: number,
    words: PeerWords | null,
    host: SessionHost,
  ) {
    this.#core = core;
    this.#in = incoming;
    this.#out = out;
    this.#reader = reader;
    this.#version = version;
    this.words = words;
    this.#host = host;
    this.#heardAt = core.ports.clock.now();
    this.#batches = words?.batches === true;
    this.#maxRequest = words?.maxRequest ?? MAXPHYS;
    reader.admit(this.#maxRequest + MAXPHYS, new BufferPool(MAX_SPARE_BYTES));
    this.#replies = new ReplyQueue(core.setup.resource, out, version, this.#batches);
    this.#heartbeat = new Heartbeat(
      core,
      (fields) => {
        if (!this.#closed) out.send(...encodeFrame(version, fields));
      },
      (epoch) => this.close(`the primary is in another epoch (${epoch.number})`),
    );
  }

  isUp(): boolean {
    return !this.#closed;
  }

  /** `done`: answers that wait for an earlier request's. */
  queues(): ResourceQueues {
    return {
      local: this.#inFlight.requests,
      send: 0,
      recv: 0,
      done: Math.max(0, this.#replies.waiting - this.#inFlight.requests),
      idle: Math.max(0, Math.floor((MAX_INFLIGHT_BYTES - this.#inFlight.bytes) / MAXPHYS)),
    };
  }

  /** Takes over both connections. */
  start(): void {
    this.#out.onClose((reason) => this.#lost(reason));
    this.#out.onData(() => this.close('the primary sent data on the reply connection'));
    this.#in.onClose((reason) => this.close(reason));
    this.#in.reuse?.();
    this.#in.land?.(() => this.#reader.window());
    this.#in.onData((chunk) => this.#take(chunk));
    if (this.words !== null) this.#heartbeat.start(() => this.#watch(this.#silenceLimit()));
    else this.#watchHastd();
  }

  /** B7: applies every complete request that has arrived. Resolves when all are done; the link may be dead already. */
  async drain(): Promise<void> {
    if (!this.#closed) await this.#in.drain();
    await this.idle();
  }

  /** Resolves when no request is at the disk. */
  idle(): Promise<void> {
    return this.#inFlight.idle();
  }

  /** Idempotent. Requests that are at the disk go on; see idle(). */
  close(reason: string): void {
    if (this.#closed) return;
    this.#replies.close();
    this.#closed = true;
    this.#heartbeat.stop();
    this.#cancelFlush?.();
    this.#in.close(reason);
    this.#out.close(reason);
    this.#host.closed(reason, this.#lostAt ?? this.#core.ports.clock.now());
  }

  /** B7: what a primary sent before it died counts, whichever of its two connections is seen to end first. */
  #lost(reason: string): void {
    this.#lostAt ??= this.#core.ports.clock.now();
    void this.#in.drain().then(() => this.close(reason));
  }

  #take(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      const frames = this.#reader.push(chunk);
      // A large message on a slow link takes longer than a heartbeat may.
      if (frames.length === 0 && !this.#reader.isInData) return;
      this.#heardAt = this.#core.ports.clock.now();
      this.#core.ports.lease.heard(this.#heardAt);
      for (const frame of frames) if (this.isUp()) this.#frame(frame);
    } catch (error) {
      this.close(`the primary sent what cannot be taken: ${describeError(error)}`);
    }
  }

  #frame(frame: Frame): void {
    const { nv } = frame;
    const cmd = nv.number('cmd', 'uint8');
    if (cmd === HAST_CMD.KEEPALIVE) {
      this.#control(nv);
      return;
    }
    if (this.#overloaded()) throw new NetError('overload', 'more was asked for than can be answered at once');
    const slot = this.#replies.slot((this.#batches ? nv.size('seq') : nv.big('seq', 'uint64')) ?? 0n);
    if (!this.#served) {
      this.#served = true;
      // The primary has merged our map into its own before it sends anything.
      if (this.words === null) this.#core.map.forgetDirty();
    }
    const offset = Number(nv.big('offset', 'uint64') ?? 0n);
    const length = Number(nv.big('length', 'uint64') ?? 0n);
    switch (cmd) {
      case HAST_CMD.READ:
        if (this.#valid(offset, length, this.#maxRequest)) this.#read(slot, offset, length, nv.has(DIGEST));
        else this.#replies.answer(slot, 'EINVAL');
        return;
      case HAST_CMD.WRITE:
        this.#write(slot, frame, offset, length);
        return;
      case HAST_CMD.DELETE:
        if (!this.#valid(offset, length, Number.MAX_SAFE_INTEGER)) this.#replies.answer(slot, 'EINVAL');
        else this.#delete(slot, offset, length);
        return;
      case HAST_CMD.FLUSH:
        this.#core.counters.flushes++;
        this.#flush((error) => this.#replies.answer(slot, error));
        return;
      default:
        this.#replies.answer(slot, 'EINVAL');
    }
  }

  #overloaded(): boolean {
    return (
      this.#inFlight.requests >= MAX_INFLIGHT ||
      this.#inFlight.bytes > MAX_INFLIGHT_BYTES ||
      this.#out.pendingBytes > MAX_INFLIGHT_BYTES
    );
  }

  #valid(offset: number, length: number, limit: number): boolean {
    const sector = this.#core.ports.disk.sectorBytes;
    return (
      length > 0 &&
      length <= limit &&
      offset % sector === 0 &&
      length % sector === 0 &&
      offset + length <= this.#core.store.meta.datasize
    );
  }

  #read(slot: Slot, offset: number, length: number, digest: boolean): void {
    this.#core.counters.reads++;
    this.#inFlight.begin(length);
    const into = Buffer.allocUnsafe(length);
    withRange(this.#core.locks, offset, length, false, (release) => {
      this.#core.ports.disk.read(this.#core.store.meta.offset + offset, into, (error) => {
        release();
        if (error === null && digest) this.#replies.answerDigest(slot, into);
        else if (error === null) this.#replies.answerData(slot, into);
        else {
          this.#core.counters.readErrors++;
          reportDiskError(this.#core, 'read', error);
          this.#replies.answer(slot, error);
        }
        this.#inFlight.end(length);
      });
    });
  }

  #write(slot: Slot, { nv, data, memory }: Frame, offset: number, length: number): void {
    this.#core.counters.writes++;
    const memsync = nv.has('memsync');
    if (!this.#valid(offset, length, this.#maxRequest) || data === null) {
      this.#replies.answer(slot, 'EINVAL', memsync);
      return;
    }
    const plain = unpackPayload(nv, data, length, this.#maxRequest);
    const held = memory ?? this.#in.hold?.(plain);
    if (memsync) this.#replies.received(slot);
    this.#apply(offset, length, 'clean', (done) =>
      this.#core.ports.disk.write(this.#core.store.meta.offset + offset, plain, done),
    )((error) => {
      held?.release();
      if (error !== null) this.#core.counters.writeErrors++;
      this.#replies.answer(slot, error);
    });
  }

  /**
   * Zeros, so that both disks read the same. A hastate primary does so too; the disk of a plain hastd may
   * do otherwise, so there the bits stay (A7).
   */
  #delete(slot: Slot, offset: number, length: number): void {
    this.#core.counters.deletes++;
    if (length > MAX_DELETE_BYTES) {
      this.#replies.answer(slot, 'EOPNOTSUPP');
      return;
    }
    const { store, ports } = this.#core;
    this.#apply(offset, length, this.words === null ? 'dirty' : 'clean', (done) =>
      putZeros(ports.disk, store.meta.offset + offset, length, done),
    )((error) => {
      if (error !== null) this.#core.counters.deleteErrors++;
      this.#replies.answer(slot, error);
    });
  }

  /** Lock, durable bits, then `work`; the result takes who is told how it ended. */
  #apply(
    offset: number,
    length: number,
    outcome: 'clean' | 'dirty',
    work: (done: (error: string | null) => void) => void,
  ): (ended: (error: string | null) => void) => void {
    // A long DELETE holds no memory.
    const bytes = Math.min(length, this.#maxRequest);
    return (ended) => {
      this.#inFlight.begin(bytes);
      const [first, last] = extentsOf(this.#core, offset, length);
      withRange(this.#core.locks, offset, length, true, (release) => {
        const finish = (error: string | null): void => {
          this.#core.map.end(first, last, error === null && !this.#flushFailed ? outcome : 'dirty');
          release();
          if (error === null) this.#wrote();
          else {
            reportDiskError(this.#core, 'write', error);
            this.#damaged();
          }
          ended(error);
          this.#inFlight.end(bytes);
        };
        this.#core.map.begin(first, last, (error) => {
          if (error === null) work(finish);
          else finish(error);
        });
      });
    };
  }

  #flush(done: (error: string | null) => void): void {
    this.#inFlight.begin(0);
    // Waits for everything before it and holds up nothing behind it.
    withRange(this.#core.locks, 0, Number.MAX_SAFE_INTEGER, true, (release) => {
      release();
      const round = this.#core.map.takeUnflushed();
      this.#core.ports.disk.flush((error) => {
        this.#core.map.settle(round, error === null ? 'flushed' : 'lost');
        done(error);
        if (error !== null) {
          this.#flushFailed = true;
          this.#core.map.unflushedToDirty();
          this.#core.counters.flushErrors++;
          reportDiskError(this.#core, 'flush', error);
          this.#damaged();
          this.close(`the local disk failed to flush: ${error}`);
        }
        this.#inFlight.end(0);
      });
    });
  }

  #wrote(): void {
    if (this.#flushing || this.#closed) return;
    this.#cancelFlush ??= this.#core.ports.clock.after(OWN_FLUSH_MS, () => {
      this.#cancelFlush = null;
      this.#backgroundFlush();
    });
  }

  #backgroundFlush(): void {
    if (this.#flushing || this.#core.map.unflushedCount === 0) return;
    this.#flushing = true;
    this.#flush(() => (this.#flushing = false));
  }

  #control(nv: NvMap): void {
    if (this.#heartbeat.take(nv)) {
      this.#heartbeat.beat();
      return;
    }
    const refusal = nv.string('refused');
    if (refusal !== undefined) this.#host.refused(refusal);
    const words = readWords(nv);
    if (words === null || this.words === null) return;
    const word = nv.has('syncstart') ? 'syncstart' : nv.has('joined') ? 'joined' : null;
    if (word === null) return;
    const work = word === 'syncstart' ? this.#host.syncStart(words) : this.#host.inSync(words);
    void work.then(
      () => {
        if (this.isUp())
          this.#out.send(...encodeFrame(this.#version, [{ name: `${word}_ack`, type: 'uint8', value: 1 }]));
      },
      (error: unknown) => this.close(describeError(error)),
    );
  }

  #damaged(): void {
    this.hurt = true;
    this.#host.damaged();
  }

  #silenceLimit(): number {
    const { timing } = this.#core.setup;
    return Math.max(timing.holdMs, timing.heartbeatMs * 5);
  }

  #watch(limit: number): void {
    const silent = (): number => this.#core.ports.clock.now() - this.#heardAt;
    if (this.#closed || silent() <= limit) return;
    void this.#in.drain().then(() => {
      if (silent() > limit) this.close(`the primary sent nothing for ${Math.round(silent())} ms`);
    });
  }

  #watchHastd(): void {
    if (this.#closed) return;
    this.#watch(HASTD_SILENCE_MS);
    this.#core.ports.clock.after(1000, () => this.#watchHastd());
  }
}
