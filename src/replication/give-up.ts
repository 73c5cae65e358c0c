/**
 * A primary's local disk that cannot even record what differs is given up: the third copy says durably that every
 * extent of it may differ and that only the peer is in sync. From then on nothing is asked of that disk, and nothing is
 * acknowledged that the peer has not flushed. The word is taken back by nothing in this engine's life: whoever opens the
 * disk next finds it and has everything copied.
 * @see SAFETY A1, A2, A6, B2
 */
import { ackMode } from './ack-mode.ts';
import type { EngineCore } from './core.ts';
import { namesPeer, reportGivenUp } from './core.ts';
import type { Dialled } from './dial.ts';
import { recordGivenUp } from './disk-truth.ts';
import type { PeerFlushed } from './peer-flush.ts';

export interface GiveUpHost {
  flushPeer(): Promise<PeerFlushed>;
  /** The peer records durably what our record says of both. @returns false when the link died first */
  tellPeer(): Promise<boolean>;
  /** See OwnCopy. */
  lean(): Promise<boolean>;
  dropLink(reason: string): void;
  /** Nothing works on the local disk from here on. */
  leftDisk(): void;
}

export class GiveUp {
  readonly #core: EngineCore;
  readonly #host: GiveUpHost;
  /** The link that is up is to a peer that has everything that was acknowledged. */
  #whole = false;
  /** Everything that was acknowledged before it was given up is durable at the peer. */
  #serves = false;
  #running: Promise<boolean> | null = null;
  /** The peer has recorded that it alone is in sync. */
  #told = false;
  #cause: string | null = null;

  constructor(core: EngineCore, host: GiveUpHost) {
    this.#core = core;
    this.#host = host;
  }

  /** By the link that is up, both sides had everything once. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Both sides have everything. */
  joined(): void {
    this.#whole = true;
  }

  /** Whoever comes next may have lost what it had not flushed. */
  linkDied(): void {
    this.#whole = this.#told = false;
  }

  /** While the disk is given up: the peer has everything, durably. */
  get serves(): boolean {
    return this.#serves && this.#whole && this.#core.store.givenUp;
  }

  /** As `serves`, and the peer may take over. */
  get handsOver(): boolean {
    return this.serves && this.#told;
  }

  /** Records it unless it is. Resolves false when the peer cannot stand in for the disk. */
  now(): Promise<boolean> {
    if (this.#core.store.givenUp && this.#running === null) return Promise.resolve(this.serves);
    this.#running ??= this.#record().finally(() => (this.#running = null));
    return this.#running;
  }

  /**
   * The peer has flushed: whether that alone makes a flush, or a write that the local disk does not have, good. Resolves
   * when it is durable that the peer's copy counts.
   */
  standsIn(): Promise<boolean> {
    const { store, map } = this.#core;
    if (store.givenUp) return this.now();
    // What differs and is not stale would be copied from here, from where the flush failed.
    if (!this.#hasAll() || map.dirtyCount > map.staleCount) return Promise.resolve(false);
    return map.staleCount + map.suspectCount === 0 ? Promise.resolve(true) : this.#host.lean();
  }

  /** Before a new link is used. @returns why it cannot be, or null */
  meet(dialled: Dialled): string | null {
    const { words, source, virgin } = dialled;
    if (!this.#core.store.givenUp) return null;
    if (!this.#serves && !this.#hasUnflushed(dialled))
      return 'the local disk was given up before the peer had flushed everything';
    if (words === null || source !== 'secondary' || virgin)
      return 'the local disk was given up and this peer does not have what it held';
    this.#whole = true;
    return null;
  }

  /**
   * What it answered as written stands in its map, durably, until it has flushed it, as it does in each handshake: a
   * failed flush, the death of its daemon or its power leave bits there. What it had only received leaves none.
   */
  #hasUnflushed({ map }: Dialled): boolean {
    return ackMode(this.#core) === 'fullsync' && map !== null && map.every((bits) => bits === 0);
  }

  /** The link is used. */
  async met(): Promise<void> {
    await this.#running;
    this.#running = this.#settle().finally(() => (this.#running = null));
    await this.#running;
  }

  #hasAll(): boolean {
    return this.#whole && namesPeer(this.#core) && ackMode(this.#core) !== 'async';
  }

  async #record(): Promise<boolean> {
    const { map } = this.#core;
    if (!(await recordGivenUp(this.#core, () => this.#hasAll()))) return false;
    this.#cause = this.#core.diskError ?? this.#core.stall?.text ?? 'it cannot be written';
    map.abandon();
    this.#host.leftDisk();
    // One that was made meanwhile was not met.
    if (!this.#whole) this.#host.dropLink('the local disk was given up');
    return this.#settle();
  }

  /** What was acknowledged before becomes durable at the peer. */
  async #settle(): Promise<boolean> {
    const telling = this.#host.tellPeer();
    if ((await this.#host.flushPeer()) === 'flushed') this.#serves = true;
    this.#told = (await telling) && this.#whole;
    reportGivenUp(this.#core, this.#cause ?? '', this.#serves);
    return this.serves;
  }
}
