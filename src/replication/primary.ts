/**
 * A primary's disk as applications see it: every write goes to both disks, reads come from the
 * side that is good, and nothing is answered before the gate agrees.
 * @see hast.md section 7, SAFETY A1-A7
 */
import { Buffer } from 'node:buffer';
import type { BlockDevice, ZeroOptions } from '../model/block-device.ts';
import type { ResourceQueues } from '../protocol/control.ts';
import { HAST_CMD } from '../protocol/hast-message.ts';
import { ackMode } from './ack-mode.ts';
import { AckGate } from './ack-gate.ts';
import type { Answer, GateHost } from './ack-gate.ts';
import { allocationOf } from './allocation-op.ts';
import type { EngineCore } from './core.ts';
import { isMultiple, MAXPHYS, reportDiskError } from './core.ts';
import { putZeros, ZeroRequests } from './discard-op.ts';
import { Flusher } from './flusher.ts';
import type { Link } from './link.ts';
import { PeerOnly } from './peer-only.ts';
import type { IoResult } from './ports.ts';
import { ReadOp } from './read-op.ts';
import type { ReadOwner } from './read-op.ts';
import type { RangeHold } from './rangelock.ts';
import { WriteOp } from './write-op.ts';
import type { WriteOwner } from './write-op.ts';

/** Bytes of writes that are taken at most before device servers must wait. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;
const MAX_REQUEST_BYTES = 1024 * 1024;

export interface PrimaryHost extends GateHost {
  /** See OwnCopy. */
  readonly ownCopyCounts: boolean;
  lean(): Promise<boolean>;
  /** What the map cannot say is said elsewhere, durably, and the peer answers for this disk; false: it cannot. */
  giveUp(): Promise<boolean>;
  /** The peer has flushed: see GiveUp. */
  standsIn(): Promise<boolean>;
  /** A request ended: a resync may look for work. */
  idle(): void;
}

export class Primary implements BlockDevice, WriteOwner, ReadOwner {
  readonly gate: AckGate;
  readonly flusher: Flusher;
  readonly allocation: BlockDevice['allocation'];
  /** The link to use, or null. */
  link: Link | null = null;
  /** Writes under way which the peer was not sent. */
  withoutPeer = 0;
  readonly #core: EngineCore;
  readonly #host: PrimaryHost;
  readonly #zeros: ZeroRequests;
  readonly #peerOnly: PeerOnly;
  #pendingBytes = 0;
  #running = 0;
  #closed = false;
  #parked: (() => void)[] = [];
  /** Sent in this turn, to be written here. */
  #toWrite: WriteOp[] = [];
  #whenIdle: (() => void)[] = [];

  constructor(core: EngineCore, host: PrimaryHost) {
    this.#core = core;
    this.#host = host;
    this.gate = new AckGate(core, host);
    this.flusher = new Flusher(core, this, host);
    this.#zeros = new ZeroRequests(core, this);
    this.#peerOnly = new PeerOnly(core, this, host);
    this.allocation = allocationOf(core, this);
  }

  get sizeBytes(): number {
    return this.#core.store.meta.datasize;
  }
  get sectorBytes(): number {
    return this.#core.ports.disk.sectorBytes;
  }
  get maxRequestBytes(): number {
    return MAX_REQUEST_BYTES;
  }
  get pendingBytes(): number {
    return this.#pendingBytes;
  }
  /** Requests of applications under way. */
  get running(): number {
    return this.#running;
  }

  queues(): ResourceQueues {
    const done = this.gate.waiting;
    const unsent = this.link?.unsent ?? 0;
    return {
      local: Math.max(0, this.#running - done),
      send: unsent,
      recv: (this.link?.outstanding ?? 0) - unsent,
      done,
      idle: Math.max(0, Math.floor((MAX_PENDING_BYTES - this.#pendingBytes) / MAXPHYS)),
    };
  }

  read(
    offset: number,
    length: number,
    done: (error: string | null, data: Buffer | null) => void,
    into: Buffer = Buffer.allocUnsafe(length),
  ): void {
    const refusal = this.#refusal(offset, length);
    if (refusal !== null) {
      done(refusal, null);
      return;
    }
    if (this.#mustPark()) {
      this.#parked.push(() => this.read(offset, length, done, into));
      return;
    }
    this.#core.counters.reads++;
    this.#running++;
    new ReadOp(this.#core, this, offset, into, done).start();
  }

  write(
    offset: number,
    data: Buffer,
    fua: boolean,
    done: (error: string | null) => void,
    free: (() => void) | null = null,
  ): void {
    this.submit(offset, data, fua, false, done, free);
  }

  zero(offset: number, length: number, options: ZeroOptions, done: (error: string | null) => void): void {
    const refusal = this.#refusal(offset, length);
    if (refusal === null) this.#zeros.zero(offset, length, options, done);
    else done(refusal);
  }

  discard(offset: number, length: number, fua: boolean, done: (error: string | null) => void): void {
    const refusal = this.#refusal(offset, length);
    if (refusal === null) this.#zeros.discard(offset, length, fua, done);
    else done(refusal);
  }

  get discards(): boolean {
    return this.#core.ports.disk.punch !== undefined;
  }

  /** For what reads no data: `start` once, when a request of this range may begin, or why it never may. */
  admit(offset: number, length: number, refuse: (error: string) => void, start: () => void): void {
    const refusal = this.#refusal(offset, length);
    if (refusal !== null) refuse(refusal);
    else if (this.#mustPark()) this.#parked.push(() => this.admit(offset, length, refuse, start));
    else {
      this.#running++;
      start();
    }
  }

  /** @param punch `data` is all zeros, and the disks may give its space back */
  submit(
    offset: number,
    data: Buffer,
    fua: boolean,
    punch: boolean,
    done: (error: string | null) => void,
    free: (() => void) | null = null,
  ): void {
    const refusal = this.#refusal(offset, data.length);
    if (refusal !== null) {
      done(refusal);
      return;
    }
    if (this.#mustPark()) {
      this.#parked.push(() => this.submit(offset, data, fua, punch, done, free));
      return;
    }
    if (punch) this.#core.counters.deletes++;
    else this.#core.counters.writes++;
    this.#running++;
    this.#pendingBytes += data.length;
    const finish = fua
      ? (error: string | null): void => (error === null ? this.flusher.flush(done) : done(error))
      : done;
    const op = new WriteOp(this, this.#mode(), offset, data, this.#core.store.meta.extentsize, finish);
    op.punch = punch;
    op.free = free;
    this.#core.locks.acquire(offset, data.length, true, (hold) => this.#locked(op, hold));
  }

  flush(done: (error: string | null) => void): void {
    if (this.#closed) {
      done('ESHUTDOWN');
      return;
    }
    if (this.#mustPark()) {
      this.#parked.push(() => this.flush(done));
      return;
    }
    this.#core.counters.flushes++;
    this.flusher.flush(done);
  }

  /** Requests that wait for a thaw start now. */
  thaw(): void {
    const parked = this.#parked;
    this.#parked = [];
    for (const start of parked) start();
    this.gate.poke();
  }

  /** No further requests are taken; what waits in the gate fails: it never was acknowledged. */
  close(): void {
    this.#closed = true;
    this.thaw();
    this.gate.close('ESHUTDOWN');
  }

  /** Calls back when no request is under way. */
  whenIdle(done: () => void): void {
    if (this.#running === 0) done();
    else this.#whenIdle.push(done);
  }

  localDone(op: WriteOp): void {
    if (op.hold !== null) this.#core.locks.release(op.hold);
  }

  readDone(op: Answer): void {
    this.gate.push(op, false);
  }

  readAnswered(): void {
    this.#ended();
  }

  onlyPeerCounts(op: WriteOp): boolean {
    return !this.#host.ownCopyCounts || this.#peerOnly.touchesStale(op);
  }

  settled(op: WriteOp, withoutPeer: boolean): void {
    // Also what reached a disk that was given up meanwhile.
    if (op.localError !== null || this.#core.store.givenUp) {
      this.#peerOnly.localFailed(op);
      return;
    }
    if (withoutPeer && this.#peerOnly.isSuspect(op)) op.failure = 'EIO';
    if (this.onlyPeerCounts(op)) this.#peerOnly.settled(op);
    else this.acknowledge(op, withoutPeer && op.failure === null);
  }

  ended(op: WriteOp, done: 'clean' | 'dirty'): void {
    // The peer may have lost what it answered before this link.
    const outcome = op.link === this.link ? done : 'dirty';
    if (op.unlinked) this.withoutPeer--;
    if (this.#core.map.end(op.first, op.last, outcome)) void this.#host.lean();
    this.#pendingBytes -= op.data.length;
    if (op.isFree) op.free?.();
    if (outcome === 'clean') this.flusher.wrote();
    else this.#host.idle();
    // A hastate peer that refused a write is out until it was resynced (A3); hastd goes on.
    if (op.remoteError !== null && this.link?.words)
      this.link.close(`the peer failed to write: ${op.remoteError}`);
    this.#ended();
  }

  acknowledgedAlone(op: WriteOp): void {
    this.#core.map.alone(op.first, op.last);
  }

  acknowledge(op: WriteOp, withoutPeer: boolean): void {
    if (this.#closed) op.answer('ESHUTDOWN');
    else this.gate.push(op, withoutPeer);
  }

  /** A1: nothing is sent or written before the bits are durable. */
  #locked(op: WriteOp, hold: RangeHold): void {
    op.hold = hold;
    if (this.#core.map.claim(op.first, op.last)) this.#marked(op, null);
    else this.#core.map.commit((error) => this.#marked(op, error));
  }

  #marked(op: WriteOp, error: string | null): void {
    if (this.#closed) this.#abort(op, 'ESHUTDOWN');
    else if (error === null) this.#start(op);
    else {
      reportDiskError(this.#core, 'activemap update', error);
      void this.#host.giveUp().then((durable) => {
        if (durable) this.#marked(op, null);
        else this.#abort(op, 'EIO');
      });
    }
  }

  #abort(op: WriteOp, failure: string): void {
    op.abort(failure);
    this.localDone(op);
    this.ended(op, 'dirty');
  }

  #start(op: WriteOp): void {
    const { link } = this;
    op.link = link;
    op.flushErrors = this.#core.counters.flushErrors;
    if (link !== null && link.isUp() && op.punch && link.words?.punches === true) {
      op.expect(1);
      link.request(HAST_CMD.DELETE, op.offset, op.data.length, null, false, op);
    } else if (link !== null && link.isUp()) {
      const { data, offset } = op;
      const memsync = this.#mode() === 'memsync';
      op.expect(Math.ceil(data.length / link.maxRequest));
      for (let at = 0; at < data.length; at += link.maxRequest) {
        const part = data.length <= link.maxRequest ? data : data.subarray(at, at + link.maxRequest);
        // A row of zeros costs four bytes, whatever else is sent as it is.
        link.request(
          HAST_CMD.WRITE,
          offset + at,
          part.length,
          part,
          memsync,
          op,
          op.punch ? 'hole' : undefined,
        );
      }
    } else {
      op.unlinked = true;
      this.withoutPeer++;
      if (this.#peerOnly.touchesStale(op)) {
        op.failure = 'EIO';
        op.local(null);
        return;
      }
    }
    if (op.unlinked) this.#writeLocal(op);
    else this.#writeAfterSend(op);
  }

  /** The link sends what was asked of it in this turn first, so that both disks work at the same time. */
  #writeAfterSend(op: WriteOp): void {
    this.#toWrite.push(op);
    if (this.#toWrite.length > 1) return;
    queueMicrotask(() => {
      const ops = this.#toWrite;
      this.#toWrite = [];
      for (const each of ops) this.#writeLocal(each);
    });
  }

  #writeLocal(op: WriteOp): void {
    const { store, ports } = this.#core;
    const at = store.meta.offset + op.offset;
    // What a disk that was given up says counts for nothing.
    const done = (error: IoResult): void => op.local(store.givenUp ? 'EIO' : error);
    if (store.givenUp) done(null);
    else if (op.punch) putZeros(ports.disk, at, op.data.length, done);
    else ports.disk.write(at, op.data, done);
  }

  #mode(): 'fullsync' | 'memsync' | 'async' {
    const mode = ackMode(this.#core);
    return mode === 'memsync' && this.link !== null && this.link.version < 2 ? 'fullsync' : mode;
  }

  #refusal(offset: number, length: number): string | null {
    if (this.#closed) return 'ESHUTDOWN';
    const sector = this.sectorBytes;
    const fits = Number.isSafeInteger(offset) && offset >= 0 && offset + length <= this.sizeBytes;
    return fits && length > 0 && isMultiple(offset, sector) && isMultiple(length, sector) ? null : 'EINVAL';
  }

  /** A5: nothing starts while frozen. Servers stop taking writes at their bound, reads are few. */
  #mustPark(): boolean {
    const free = this.#host.frozen === null && this.#pendingBytes <= 2 * MAX_PENDING_BYTES;
    return !free && !this.#closed;
  }

  #ended(): void {
    this.#running--;
    if (this.#parked.length > 0 && this.#host.frozen === null && this.#pendingBytes <= MAX_PENDING_BYTES)
      this.thaw();
    if (this.#running > 0) return;
    this.#host.idle();
    if (this.#whenIdle.length === 0) return;
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const done of waiting) done();
  }
}
