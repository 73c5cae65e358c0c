/**
 * Zeroing and discarding through both disks: pieces that each go the way of a write, so that bits are
 * durable first, ranges are locked on both sides, and a piece without the peer's answer is dirty.
 *
 * A plain hastd passes a DELETE to its provider, which may keep the old bytes, turn them to zeros or refuse;
 * nothing on the wire tells which. So a hastd is never sent one: it gets zeros written, four bytes each on
 * the wire, and a discard, which is only a hint, is ignored as long as it is the peer. Between hastate nodes
 * a DELETE means that the range reads as zeros; it is sent to a peer that says it can do so quickly.
 * @see hast.md sections 6 and 10.7, SAFETY A1, A7
 */
import { Buffer } from 'node:buffer';
import type { ZeroOptions } from '../model/block-device.ts';
import type { EngineCore } from './core.ts';
import type { Link } from './link.ts';
import type { DiskPort, IoResult } from './ports.ts';

/** Every zero that is ever written comes from here; nobody writes into it. */
const ZEROS = Buffer.alloc(1024 * 1024);
/** Pieces of one request under way together. */
const DEPTH = 4;

type Done = (error: string | null) => void;

/** The primary, as far as it is needed here. */
export interface ZeroTarget {
  readonly link: Link | null;
  submit(offset: number, data: Buffer, fua: boolean, punch: boolean, done: Done): void;
  flush(done: Done): void;
}

export class ZeroRequests {
  readonly #core: EngineCore;
  readonly #target: ZeroTarget;

  constructor(core: EngineCore, target: ZeroTarget) {
    this.#core = core;
    this.#target = target;
  }

  /** The range is valid. @see BlockDevice.zero */
  zero(offset: number, length: number, { fua, mayPunch, fast }: ZeroOptions, done: Done): void {
    if (fast && !(mayPunch && this.#isQuick())) {
      done('ENOTSUP');
      return;
    }
    this.#pieces(offset, length, mayPunch, this.#durable(fua, done));
  }

  /**
   * The range is valid. While the peer is away nothing is discarded: each extent would have to be copied
   * to it for nothing but a hint. @see BlockDevice.discard
   */
  discard(offset: number, length: number, fua: boolean, done: Done): void {
    const alone = this.#target.link === null && this.#core.ports.connector === null;
    if (!this.#isQuick() || !(alone || this.#target.link !== null)) done(null);
    else this.#pieces(offset, length, true, this.#durable(fua, done));
  }

  #isQuick(): boolean {
    const { link } = this.#target;
    return this.#core.ports.disk.punch !== undefined && (link === null || link.words?.punches === true);
  }

  /** One flush for all pieces, not one for each. */
  #durable(fua: boolean, done: Done): Done {
    return fua ? (error) => (error === null ? this.#target.flush(done) : done(error)) : done;
  }

  #pieces(offset: number, length: number, punch: boolean, done: Done): void {
    const end = offset + length;
    let next = offset;
    let running = 0;
    let failure: string | null = null;
    let pumping = false;
    const pump = (): void => {
      // Pieces may end before submit() returns: no recursion as deep as the disk is large.
      if (pumping) return;
      pumping = true;
      while (running < DEPTH && next < end && failure === null) {
        const at = next;
        next = Math.min(end, at + ZEROS.length);
        running++;
        this.#target.submit(at, ZEROS.subarray(0, next - at), false, punch, (error) => {
          failure ??= error;
          running--;
          pump();
        });
      }
      pumping = false;
      if (running === 0) done(failure);
    };
    pump();
  }
}

/** Makes a range of a local disk read as zeros: holes where it can, written zeros elsewhere. Offsets are the disk's. */
export function putZeros(
  disk: DiskPort,
  offset: number,
  length: number,
  done: (error: IoResult) => void,
): void {
  const end = offset + length;
  const write = (at: number): void => {
    const bytes = Math.min(ZEROS.length, end - at);
    if (bytes <= 0) done(null);
    else
      disk.write(at, ZEROS.subarray(0, bytes), (error) => {
        if (error === null) write(at + bytes);
        else done(error);
      });
  };
  if (disk.punch === undefined) write(offset);
  else
    disk.punch(offset, length, (error) => {
      if (error === 'EOPNOTSUPP') write(offset);
      else done(error);
    });
}
