/**
 * One write of an application on its way to both disks. It is acknowledged when the mode's
 * conditions hold and the gate lets it (SAFETY A2-A5), and ends when both sides have answered.
 */
import type { ReplicationMode } from '../model/roles.ts';
import type { Answer } from './ack-gate.ts';
import type { IoResult } from './ports.ts';
import type { Asker } from './link.ts';
import type { RangeHold } from './rangelock.ts';

export interface WriteOwner {
  /** What the local disk has of it does not count: the peer's last word is waited for, in every mode. */
  onlyPeerCounts(op: WriteOp): boolean;
  /** The mode's conditions hold, or the write failed: `withoutPeer` when the peer lacks it. */
  settled(op: WriteOp, withoutPeer: boolean): void;
  /** The application has it, and the peer does not. */
  acknowledgedAlone(op: WriteOp): void;
  /** Both sides have answered. */
  ended(op: WriteOp, outcome: 'clean' | 'dirty'): void;
  /** The local disk has answered. */
  localDone(op: WriteOp): void;
}

export class WriteOp implements Answer, Asker {
  readonly offset: number;
  readonly data: Buffer;
  readonly first: number;
  readonly last: number;
  hold: RangeHold | null = null;
  /** What the application gets instead of success. */
  failure: string | null = null;
  localError: IoResult = null;
  remoteError: IoResult = null;
  /** Sent to the peer in whole. */
  sent = false;
  /** All zeros, where disks may give the space back. */
  punch = false;
  /** Tells whom `data` came from that it is not needed any more. */
  free: (() => void) | null = null;
  /** Started while there was no link. */
  unlinked = false;
  /** What it was sent on, or null. */
  link: unknown = null;
  /** How often a local flush had failed when it began. */
  flushErrors = 0;
  readonly #owner: WriteOwner;
  readonly #mode: ReplicationMode;
  readonly #done: (error: string | null) => void;
  #awaitsLocal = true;
  /** Parts that the peer has to acknowledge as the mode wants it, and to answer at last. */
  #awaitsAck = 0;
  #awaitsFinal = 0;
  #lost = false;
  /** The peer lacked it when the mode's conditions held. What it had received until then it has, whatever it says later. */
  #alone = false;
  #settled = false;
  #answered = false;
  #ended = false;

  constructor(
    owner: WriteOwner,
    mode: ReplicationMode,
    offset: number,
    data: Buffer,
    extentBytes: number,
    done: (error: string | null) => void,
  ) {
    this.#owner = owner;
    this.#mode = mode;
    this.offset = offset;
    this.data = data;
    this.first = Math.floor(offset / extentBytes);
    this.last = Math.floor((offset + data.length - 1) / extentBytes);
    this.#done = done;
  }

  /** The peer does not have it, or not all of it. */
  get withoutPeer(): boolean {
    return !this.sent || this.#lost || this.remoteError !== null;
  }

  /** Nobody reads `data` any more once both sides have ended. A dead link may still be sending it. */
  get isFree(): boolean {
    return !this.sent || !this.withoutPeer;
  }

  /** Before the parts are sent. */
  expect(parts: number): void {
    this.sent = true;
    this.#awaitsAck = this.#awaitsFinal = parts;
  }

  local(error: IoResult): void {
    this.#awaitsLocal = false;
    this.localError = error;
    this.#owner.localDone(this);
    this.#check();
  }

  received(): void {
    if (this.#mode !== 'memsync') return;
    this.#awaitsAck--;
    this.#check();
  }

  answered(error: string | null): void {
    this.#awaitsFinal--;
    if (error !== null) this.remoteError ??= error;
    if (this.#mode !== 'memsync' || this.#awaitsAck > this.#awaitsFinal) this.#awaitsAck--;
    this.#check();
  }

  lost(): void {
    this.#lost = true;
    this.#awaitsFinal--;
    this.#awaitsAck = 0;
    this.#check();
  }

  /** It never reached a disk. */
  abort(failure: string): void {
    this.failure = failure;
    this.answer(null);
  }

  answer(failure: string | null): void {
    if (this.#answered) return;
    this.#answered = true;
    const error = failure ?? this.failure;
    const alone = this.#mode === 'async' ? this.withoutPeer : this.#alone;
    if (error === null && alone) this.#owner.acknowledgedAlone(this);
    this.#done(error);
  }

  #check(): void {
    if (this.#awaitsLocal) return;
    const finished = this.#awaitsFinal === 0;
    // A local failure can only be made good by the peer's last word.
    const enough = this.localError === null && (this.#mode === 'async' || this.#awaitsAck <= 0 || this.#lost);
    if (!this.#settled && (finished || (enough && !this.#owner.onlyPeerCounts(this)))) {
      this.#settled = true;
      this.#alone = this.withoutPeer;
      this.#owner.settled(this, this.withoutPeer && !(this.#mode === 'async' && this.localError === null));
    }
    if (finished && !this.#ended) {
      this.#ended = true;
      this.#owner.ended(this, this.withoutPeer || this.localError !== null ? 'dirty' : 'clean');
    }
  }
}
