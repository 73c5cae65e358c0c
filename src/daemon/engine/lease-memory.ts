/**
 * Evidence that all threads of the daemon share (SAFETY A4, A5). A thread that froze can neither
 * renew a lease nor keep another one from seeing that it expired.
 * Zero is "never": times are of bootClock(), which is above zero.
 */
import type { PathName } from '../../model/roles.ts';
import { PATHS } from '../../model/roles.ts';
import type { AloneNeeds } from '../../model/without-peer.ts';
import type { LeasePort } from '../../replication/ports.ts';

const ALIVE_AT = PATHS.length;
const PEER_EPOCH = ALIVE_AT + 1;
const ALONE_NEEDS = PEER_EPOCH + 1;
const REFERENCES_AT = ALONE_NEEDS + 1;
const FENCED_AT = REFERENCES_AT + 1;
const BEATS = FENCED_AT + 1;
const NEEDS: readonly AloneNeeds[] = ['silence', 'references', 'fence'];
export const MAX_ENGINES = 1024;
/** A beat slot that is taken and has not beaten yet. */
const TAKEN = 1n;
const US_PER_MS = 1000;

/** One for the whole daemon, over one SharedArrayBuffer. */
export class LeaseMemory {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: BigInt64Array;

  /** @param buffer another thread's `buffer`; without it new memory, in which nothing was heard yet */
  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer((BEATS + MAX_ENGINES) * BigInt64Array.BYTES_PER_ELEMENT);
    this.#cells = new BigInt64Array(this.buffer);
  }

  /** A valid message of the peer's current boot arrived on this path. */
  heard(path: PathName, at: number): void {
    this.#raise(PATHS.indexOf(path), toCell(at));
  }

  /** @returns ms, -Infinity for never; without a path the latest of all */
  heardAt(path?: PathName): number {
    if (path !== undefined) return fromCell(Atomics.load(this.#cells, PATHS.indexOf(path)));
    // Asked at every gate: nothing is allocated but the numbers.
    let latest = -Infinity;
    for (let cell = 0; cell < PATHS.length; cell++)
      latest = Math.max(latest, fromCell(Atomics.load(this.#cells, cell)));
    return latest;
  }

  /** @param sentAt when we sent what the peer has echoed, ms */
  renew(sentAt: number): void {
    this.#raise(ALIVE_AT, toCell(sentAt));
  }

  aliveAt(): number {
    return fromCell(Atomics.load(this.#cells, ALIVE_AT));
  }

  /** Any path showed this epoch of the peer. */
  showEpoch(number: number): void {
    this.#raise(PEER_EPOCH, BigInt(number));
  }

  peerEpochNumber(): number {
    return Number(Atomics.load(this.#cells, PEER_EPOCH));
  }

  setAloneNeeds(needs: AloneNeeds): void {
    Atomics.store(this.#cells, ALONE_NEEDS, BigInt(NEEDS.indexOf(needs)));
  }

  aloneNeeds(): AloneNeeds {
    return NEEDS[Number(Atomics.load(this.#cells, ALONE_NEEDS))] ?? 'fence';
  }

  /** @param askedAt when the question was put that a majority of the references answered, ms */
  referencesAnswered(askedAt: number): void {
    this.#raise(REFERENCES_AT, toCell(askedAt));
  }

  referencesAt(): number {
    return fromCell(Atomics.load(this.#cells, REFERENCES_AT));
  }

  /** The peer was certainly down at this time, ms. */
  fenced(at: number): void {
    this.#raise(FENCED_AT, toCell(at));
  }

  fencedAt(): number {
    return fromCell(Atomics.load(this.#cells, FENCED_AT));
  }

  /** The peer started anew: what its former boot said proves nothing about this one. Epochs stay. */
  forgetPeer(): void {
    for (let cell = 0; cell <= ALIVE_AT; cell++) Atomics.store(this.#cells, cell, 0n);
  }

  /** @returns an engine's slot for beats, to be given back; null when all are taken */
  claimSlot(): number | null {
    for (let slot = 0; slot < MAX_ENGINES; slot++) {
      if (Atomics.compareExchange(this.#cells, BEATS + slot, 0n, TAKEN) === 0n) return slot;
    }
    return null;
  }

  releaseSlot(slot: number): void {
    Atomics.store(this.#cells, BEATS + slot, 0n);
  }

  beat(slot: number, at: number): void {
    Atomics.store(this.#cells, BEATS + slot, toCell(at));
  }

  /** @returns ms of the engine's last beat, -Infinity before the first */
  beatAt(slot: number): number {
    const cell = Atomics.load(this.#cells, BEATS + slot);
    return cell === TAKEN ? -Infinity : fromCell(cell);
  }

  /** What an engine sees of it. */
  port(): LeasePort {
    return {
      aliveAt: () => this.aliveAt(),
      heardAt: () => this.heardAt(),
      renew: (at) => this.renew(at),
      heard: (at) => this.heard('dataLink', at),
      peerEpochNumber: () => this.peerEpochNumber(),
      aloneNeeds: () => this.aloneNeeds(),
      referencesAt: () => this.referencesAt(),
      fencedAt: () => this.fencedAt(),
    };
  }

  #raise(cell: number, value: bigint): void {
    let current = Atomics.load(this.#cells, cell);
    while (value > current) {
      const seen = Atomics.compareExchange(this.#cells, cell, current, value);
      if (seen === current) return;
      current = seen;
    }
  }
}

/** Rounded down: evidence may look older than it is, never younger. */
function toCell(ms: number): bigint {
  return Number.isFinite(ms) ? BigInt(Math.floor(ms * US_PER_MS)) : 0n;
}

function fromCell(cell: bigint): number {
  return cell <= 0n ? -Infinity : Number(cell) / US_PER_MS;
}
