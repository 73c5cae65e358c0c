/**
 * One read of an application: each piece comes from the side that has it, and all of it is answered when the
 * gate lets it (SAFETY A4, A5).
 */
import type { Buffer } from 'node:buffer';
import type { Answer } from './ack-gate.ts';
import type { EngineCore } from './core.ts';
import { extentsOf, MAXPHYS, reportDiskError } from './core.ts';
import type { Link } from './link.ts';
import { readRemote } from './remote-read.ts';

export interface ReadOwner {
  /** The link to use, or null. */
  readonly link: Link | null;
  /** Every piece has ended: it waits for the gate. */
  readDone(op: ReadOp): void;
  /** The gate has let it go. */
  readAnswered(): void;
}

export class ReadOp implements Answer {
  readonly #core: EngineCore;
  readonly #owner: ReadOwner;
  readonly #offset: number;
  readonly #into: Buffer;
  readonly #done: (error: string | null, data: Buffer | null) => void;
  #pieces = 1;
  #failure: string | null = null;

  constructor(
    core: EngineCore,
    owner: ReadOwner,
    offset: number,
    into: Buffer,
    done: (error: string | null, data: Buffer | null) => void,
  ) {
    this.#core = core;
    this.#owner = owner;
    this.#offset = offset;
    this.#into = into;
    this.#done = done;
  }

  start(): void {
    if (this.#core.map.staleCount === 0) {
      this.#readLocal(this.#offset, this.#into);
      return;
    }
    for (const [at, bytes, remote] of this.#sides()) {
      this.#pieces++;
      const piece = this.#into.subarray(at - this.#offset, at - this.#offset + bytes);
      if (remote) readRemote(this.#owner.link, at, piece, (error) => this.#ended(error));
      else this.#readLocal(at, piece);
    }
    this.#ended(null);
  }

  answer(held: string | null): void {
    const error = held ?? this.#failure;
    this.#owner.readAnswered();
    this.#done(error, error === null ? this.#into : null);
  }

  #ended(error: string | null): void {
    this.#failure ??= error;
    this.#pieces--;
    if (this.#pieces === 0) this.#owner.readDone(this);
  }

  /** Pieces of the range with the side that has them: true = the peer. */
  *#sides(): Generator<[number, number, boolean]> {
    const { map, store } = this.#core;
    const end = this.#offset + this.#into.length;
    for (let at = this.#offset; at < end;) {
      const extent = Math.floor(at / store.meta.extentsize);
      const stop = Math.min(end, (extent + 1) * store.meta.extentsize, at + MAXPHYS);
      yield [at, stop - at, map.isStale(extent)];
      at = stop;
    }
  }

  #readLocal(offset: number, into: Buffer): void {
    this.#core.ports.disk.read(this.#core.store.meta.offset + offset, into, (error) => {
      if (error === null) this.#ended(null);
      else this.#localFailed(offset, into, error);
    });
  }

  /** The peer's copy serves where it is as good. */
  #localFailed(offset: number, into: Buffer, error: string): void {
    this.#core.counters.readErrors++;
    reportDiskError(this.#core, 'read', error);
    const { link } = this.#owner;
    const [first, last] = extentsOf(this.#core, offset, into.length);
    let good = link !== null;
    const { map } = this.#core;
    for (let e = first; e <= last; e++) good &&= !map.isDirty(e) || map.isStale(e);
    if (good) readRemote(link, offset, into, (failure) => this.#ended(failure));
    else this.#ended('EIO');
  }
}
