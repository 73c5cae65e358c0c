/** Writes of which only the peer's copy counts. @see OwnCopy, hast.md section 13.2 */
import type { EngineCore } from './core.ts';
import { reportDiskError } from './core.ts';
import type { Primary, PrimaryHost } from './primary.ts';
import type { WriteOp } from './write-op.ts';

export class PeerOnly {
  readonly #core: EngineCore;
  readonly #primary: Primary;
  readonly #host: PrimaryHost;

  constructor(core: EngineCore, primary: Primary, host: PrimaryHost) {
    this.#core = core;
    this.#primary = primary;
    this.#host = host;
  }

  touchesStale(op: WriteOp): boolean {
    if (this.#core.map.staleCount === 0) return false;
    for (let e = op.first; e <= op.last; e++) if (this.#core.map.isStale(e)) return true;
    return false;
  }

  /** A flush that failed here while it was under way may have taken it. */
  isSuspect(op: WriteOp): boolean {
    return op.flushErrors !== this.#core.counters.flushErrors;
  }

  /** Both disks have answered, and ours is not what counts. */
  settled(op: WriteOp): void {
    const { link } = op;
    const missing = (): void => {
      if (this.touchesStale(op)) op.failure = 'EIO';
      this.#primary.acknowledge(op, op.failure === null);
    };
    if (op.failure !== null || op.withoutPeer || link !== this.#primary.link) {
      missing();
      return;
    }
    void this.#atPeerAlone().then((durable) => {
      if (!durable && link !== this.#primary.link) {
        missing();
        return;
      }
      if (!durable) op.failure = 'EIO';
      this.#primary.acknowledge(op, false);
    });
  }

  /** The peer's copy is the good one now, and that is durable before success is said. */
  localFailed(op: WriteOp): void {
    const { map, store } = this.#core;
    if (!store.givenUp) this.#core.counters.writeErrors++;
    reportDiskError(this.#core, 'write', op.localError ?? 'EIO');
    // What is flushed has to be the life of the peer that answered.
    let whole = !op.withoutPeer && (store.givenUp || op.link === this.#primary.link);
    for (let e = op.first; e <= op.last; e++) whole &&= !map.isDirty(e) || map.isStale(e);
    if (!whole) {
      op.failure = 'EIO';
      this.#primary.acknowledge(op, false);
      return;
    }
    for (let e = op.first; e <= op.last; e++) map.lose(e);
    void this.#atPeerAlone().then((durable) => {
      if (!durable) op.failure = 'EIO';
      this.#primary.acknowledge(op, false);
    });
  }

  /** What the peer alone has must not be lost with its power: it is flushed there. */
  async #atPeerAlone(): Promise<boolean> {
    if (!(await this.#host.lean())) return false;
    return this.#core.store.givenUp ? this.#host.standsIn() : true;
  }
}
