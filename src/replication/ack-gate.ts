/**
 * The last door before an application learns that something happened: no write is acknowledged
 * and no read answered unless SAFETY A3-A5 allow it at that moment. Answers are collected and let
 * out together, so the clock is read once per turn.
 */
import type { EngineCore } from './core.ts';
import { namesPeer } from './core.ts';

/** A hold because the link is down is reported after this long. ms. */
const GRACE_MS = 150;

/** What keeps answers back; `null` = they may go. */
export type GateVerdict = null | 'frozen' | 'lease' | 'alone' | 'counters';

export interface GateHost {
  /** A5. */
  readonly frozen: string | null;
  /** A3: peer confirmed `outdated`/resync target in this epoch, or there never was one. */
  readonly aloneConfirmed: boolean;
  /** hastd's localcnt says that we wrote without the peer. */
  readonly countersReady: boolean;
  /** Looks at what other paths have shown (A5); called once per turn. */
  look(): void;
  /** Something waits that only A3 can let go: start it. Called again while it waits. */
  wantAlone(): void;
}

/** Something an application waits for. `failure` is null, or why it never was acknowledged. */
export interface Answer {
  answer(failure: string | null): void;
}

const NONE: Answer[] = [];

export class AckGate {
  readonly #core: EngineCore;
  readonly #host: GateHost;
  #ordinary: Answer[] = [];
  /** Answers to writes which the peer does not have: they wait until the record says that we are alone. */
  #alone: Answer[] = [];
  #scheduled = false;
  #closed: string | null = null;
  #heldSince: number | null = null;
  #cancelPoll: (() => void) | null = null;
  #heldText: string | null = null;

  constructor(core: EngineCore, host: GateHost) {
    this.#core = core;
    this.#host = host;
  }

  /** Why answers are held, in words, or null. */
  get held(): string | null {
    return this.#heldText;
  }
  get waiting(): number {
    return this.#ordinary.length + this.#alone.length;
  }

  /** @param withoutPeer the peer does not have what this answers */
  push(answer: Answer, withoutPeer: boolean): void {
    if (this.#closed !== null) {
      answer.answer(this.#closed);
      return;
    }
    (withoutPeer ? this.#alone : this.#ordinary).push(answer);
    this.poke();
  }

  /** Something changed: look again at the end of this turn. */
  poke(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pass();
    });
  }

  /** The peer has everything again: what waited for going on alone is as good as any other. */
  rejoin(): void {
    this.#ordinary.push(...this.#alone);
    this.#alone = [];
    this.poke();
  }

  /** What only this disk had is about to be overwritten: it was never acknowledged and fails. */
  failAlone(failure: string): void {
    const rest = this.#alone;
    this.#alone = [];
    for (const each of rest) each.answer(failure);
    this.poke();
  }

  /** Everything that waits was never acknowledged: it fails with `failure`. */
  close(failure: string): void {
    this.#closed = failure;
    this.#cancelPoll?.();
    this.#cancelPoll = null;
    this.#heldText = this.#heldSince = null;
    const rest = [...this.#ordinary, ...this.#alone];
    this.#ordinary = [];
    this.#alone = [];
    for (const each of rest) each.answer(failure);
  }

  #judge(): GateVerdict {
    const { lease, clock } = this.#core.ports;
    const { timing } = this.#core.setup;
    if (this.#host.frozen !== null) return 'frozen';
    const now = clock.now();
    if (namesPeer(this.#core)) return now - lease.aliveAt() <= timing.leaseMs ? null : 'lease';
    return this.#host.aloneConfirmed ? null : 'alone';
  }

  #pass(): void {
    this.#host.look();
    if (this.waiting === 0) {
      if (this.#heldSince !== null && this.#judge() === null) this.#resumed();
      return;
    }
    let verdict = this.#judge();
    if (verdict === null) {
      const go = this.#ordinary;
      this.#ordinary = [];
      let alone: Answer[] = NONE;
      if (this.#alone.length > 0 && !namesPeer(this.#core) && this.#host.countersReady) {
        alone = this.#alone;
        this.#alone = [];
      }
      for (const each of go) each.answer(null);
      for (const each of alone) each.answer(null);
      if (this.#alone.length === 0) {
        this.#resumed();
        return;
      }
      verdict = namesPeer(this.#core) ? 'alone' : 'counters';
    }
    this.#hold(verdict);
  }

  #hold(verdict: Exclude<GateVerdict, null>): void {
    const now = this.#core.ports.clock.now();
    const text = WHY[verdict];
    if (this.#heldSince === null) this.#heldSince = now;
    // A link that comes back at once is no news.
    const quiet = verdict === 'counters' || (verdict === 'alone' && now - this.#heldSince < GRACE_MS);
    if (this.#heldText !== text && !quiet) {
      this.#heldText = text;
      this.#core.report('held', 'warn', `${this.#core.setup.resource.name}: I/O is held: ${text}`);
    }
    if (verdict !== 'frozen') this.#host.wantAlone();
    this.#cancelPoll ??= this.#core.ports.clock.after(
      Math.max(5, this.#core.setup.timing.heartbeatMs / 4),
      () => {
        this.#cancelPoll = null;
        this.poke();
      },
    );
  }

  #resumed(): void {
    if (this.#heldSince === null) return;
    const ms = Math.round(this.#core.ports.clock.now() - this.#heldSince);
    this.#heldSince = null;
    if (this.#heldText === null) return;
    this.#heldText = null;
    this.#core.report('resumed', 'info', `${this.#core.setup.resource.name}: I/O goes on after ${ms} ms`);
  }
}

const WHY: Readonly<Record<Exclude<GateVerdict, null>, string>> = {
  frozen: 'the peer has a higher epoch',
  lease: 'the peer was not heard within the lease and may take over',
  alone: 'the peer must be known to be out before this node goes on alone',
  counters: 'the record of going on alone is being written',
};
