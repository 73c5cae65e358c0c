/**
 * What this node knows of the other one from its own words (peer channel), of its
 * current boot. Forgets everything when the peer restarts.
 */
import type { PeerReport } from '../model/evidence.ts';
import type { HoldReason } from '../model/holds.ts';
import type { Epoch, ResourceRecord } from '../model/record.ts';
import type { HastRole } from '../model/roles.ts';

/** Just after its start a node has not met us yet and refuses: that says nothing. */
const REFUSAL_COUNTS_MS = 1000;

export interface PeerGroupWords {
  readonly name: string;
  readonly primary: boolean;
  readonly changing: boolean;
  readonly healthy: boolean;
  readonly epoch: Epoch;
  readonly virgin: boolean;
  readonly candidate: boolean;
  readonly hold: HoldReason['code'] | null;
  readonly addressSet: string | null;
}

export interface PeerResourceWords {
  readonly name: string;
  readonly record: ResourceRecord;
  readonly role: HastRole;
}

export class PeerState {
  boot: string | null = null;
  /** ms; B6: when it was cut off. Cleared by the next word of the peer. */
  certainDeathAt: number | null = null;
  /** ms: the peer stopped cleanly. */
  goodbyeAt: number | null = null;
  channelUp = false;
  #heardAt: number | null = null;
  readonly #groups = new Map<string, PeerGroupWords>();
  readonly #resources = new Map<string, PeerResourceWords>();
  /** Since when the peer says without a break that it cannot be primary of a group. ms */
  readonly #refusesSince = new Map<string, number>();
  readonly #consentUntil = new Map<string, number>();
  /** Groups that we promised to leave to the peer, until when (ms). */
  readonly #granted = new Map<string, number>();

  heard(at: number, groups: readonly PeerGroupWords[], resources: readonly PeerResourceWords[]): void {
    this.#heardAt = at;
    this.certainDeathAt = null;
    this.goodbyeAt = null;
    for (const words of groups) {
      this.#groups.set(words.name, words);
      if (words.candidate) this.#refusesSince.delete(words.name);
      else if (!this.#refusesSince.has(words.name)) this.#refusesSince.set(words.name, at);
    }
    for (const words of resources) this.#resources.set(words.name, words);
  }

  /** A new life of the peer: nothing that the earlier one said counts any more. */
  restarted(boot: string): void {
    this.boot = boot;
    this.certainDeathAt = null;
    this.goodbyeAt = null;
    this.#heardAt = null;
    this.#groups.clear();
    this.#refusesSince.clear();
    this.#resources.clear();
    this.#consentUntil.clear();
    this.#granted.clear();
  }

  /** It took the epoch of `group` over and is on its way up: its older words count no more. */
  tookOver(group: string): void {
    const words = this.#groups.get(group);
    if (words !== undefined) this.#groups.set(group, { ...words, primary: true, changing: true });
  }

  resource(name: string): PeerResourceWords | null {
    return this.#resources.get(name) ?? null;
  }

  group(name: string): PeerGroupWords | null {
    return this.#groups.get(name) ?? null;
  }

  /** The peer agreed that we may become primary of `group`. */
  consented(group: string, until: number): void {
    this.#consentUntil.set(group, until);
  }

  consumeConsent(group: string): void {
    this.#consentUntil.delete(group);
  }

  grant(group: string, until: number): void {
    this.#granted.set(group, until);
  }

  revokeGrants(): void {
    this.#granted.clear();
  }

  grantedUntil(group: string): number {
    return this.#granted.get(group) ?? 0;
  }

  report(group: string): PeerReport | null {
    const words = this.#groups.get(group);
    if (words === undefined || this.#heardAt === null) return null;
    const { primary, changing, healthy, epoch, virgin, candidate } = words;
    return {
      at: this.#heardAt,
      primary,
      changing,
      healthy,
      epoch,
      virgin,
      candidate:
        candidate || this.#heardAt - (this.#refusesSince.get(group) ?? this.#heardAt) < REFUSAL_COUNTS_MS,
      consentUntil: this.#consentUntil.get(group) ?? null,
    };
  }
}
