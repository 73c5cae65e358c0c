/**
 * What a primary's own copy counts for. Before it is recorded that this disk lacks something, the peer has flushed what
 * was acknowledged so far; from then on until both sides have everything again, nothing is acknowledged that the peer
 * has not flushed. So the copy that the record names has every acknowledged write, whenever the peer loses its power.
 * @see SAFETY A2, A3, B2
 */
import type { EngineCore } from './core.ts';
import { recordStale } from './disk-truth.ts';
import type { PeerFlushed } from './peer-flush.ts';

export interface OwnCopyHost {
  /** `then` runs in the moment of the answer. */
  flushPeer(then: (result: PeerFlushed) => void): Promise<PeerFlushed>;
  /** The two sides differ from here on. */
  differs(): void;
  /** It is durable that this copy lacks something. */
  recorded(): void;
}

export class OwnCopy {
  readonly #core: EngineCore;
  readonly #host: OwnCopyHost;
  #losing = 0;

  constructor(core: EngineCore, host: OwnCopyHost) {
    this.#core = core;
    this.#host = host;
  }

  /** False: what is acknowledged has to be durable at the peer. */
  get counts(): boolean {
    return this.#losing === 0 && this.#core.store.record.inSync.includes(this.#core.self);
  }

  /**
   * Resolves when what the peer answered before this call is durable there, and that only its copy of stale extents
   * counts is durable here; with false when one of the two could not be.
   */
  async lean(): Promise<boolean> {
    const { map } = this.#core;
    if (map.staleCount + map.suspectCount === 0) return this.#peerFlushes();
    this.#losing++;
    this.#host.differs();
    try {
      const unsure = map.takeUnsure();
      const durable = await this.#peerFlushes(() => map.keep(unsure));
      // What this disk lost whatever the peer has is recorded without it, too.
      if (!durable && map.lostCount === 0) return false;
      await recordStale(this.#core);
      this.#host.recorded();
      return durable;
    } catch {
      return false;
    } finally {
      this.#losing--;
    }
  }

  /** @param flushed runs with the peer's answer: what follows it may end the link, which decides whose copy counts */
  async #peerFlushes(flushed: () => void = () => undefined): Promise<boolean> {
    let durable = false;
    await this.#host.flushPeer((result) => {
      durable = result === 'flushed' || result === 'unable';
      if (durable) flushed();
    });
    return durable;
  }
}
