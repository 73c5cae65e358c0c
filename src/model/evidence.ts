/**
 * What a node knows when it asks whether it may become primary. Plain JSON, so
 * that `why-not`, the page, the journal and the scenarios show the same thing.
 * Times are ms on the node's clock, null = never.
 */
import type { HoldReason } from './holds.ts';
import type { DiskState, Epoch, Freshness } from './record.ts';
import type { NodeName, PathName, PolicyKind } from './roles.ts';
import type { Timing } from './timing.ts';

/** Who asks. */
export type Trigger =
  /** Adverts, silence, boot: nobody's word. */
  | { readonly kind: 'automatic' }
  /** A planned switchover: the peer stopped writing in `epoch` and said so. */
  | { readonly kind: 'handover'; readonly epoch: Epoch }
  /** A person: `hastate role primary`, stock hastctl, `promote`. */
  | { readonly kind: 'operator'; readonly force: boolean; readonly reason: string | null };

export interface MemberEvidence {
  readonly resource: string;
  /** The disk can be opened and its metadata read; else why not. */
  readonly diskError: string | null;
  readonly state: DiskState;
  readonly epoch: Epoch;
  /** SAFETY B4: record says primary=self and inSync={self}. */
  readonly soleOwner: boolean;
  readonly freshness: Freshness;
  /** When the data link to a primary died; null while it is up or never was. */
  readonly dataLinkDownAt: number | null;
  readonly dataLinkUp: boolean;
  /**
   * The peer's latest record (of its current boot) has our generation and calls our disk in sync:
   * it did not go on alone. Null while no record of it was heard.
   */
  readonly peerAgrees: boolean | null;
  /** D5: by the peer's latest record both disks went on from a common history. */
  readonly wentApart: boolean;
}

/** The peer's own words, of its current boot. */
export interface PeerReport {
  readonly at: number;
  /** Its role for this group: primary if any member is. */
  readonly primary: boolean;
  /** It is on the way to primary or away from it. */
  readonly changing: boolean;
  readonly healthy: boolean;
  readonly epoch: Epoch;
  readonly virgin: boolean;
  /** Its own decision would not refuse. */
  readonly candidate: boolean;
  /** It agreed that we may become primary and will not try itself, until this time. */
  readonly consentUntil: number | null;
}

export interface Evidence {
  readonly now: number;
  readonly self: NodeName;
  readonly peer: NodeName | null;
  readonly peerKind: 'hastate' | 'hastd';
  readonly trigger: Trigger;
  readonly members: readonly MemberEvidence[];
  /** Last time that a valid message of the peer's current boot was heard. */
  readonly heardAt: Readonly<Record<PathName, number | null>>;
  /** When this daemon started: silence is measured from here at the earliest. */
  readonly startedAt: number;
  /** When this process last stood still and woke: older silence is its own, not the peer's. */
  readonly awakeSince: number;
  /** B6: when the authenticated channel was reset; after that its host refused a new connection. */
  readonly certainDeathAt: number | null;
  readonly report: PeerReport | null;
  readonly references: { readonly configured: number; readonly reached: number };
  /** D1, C3: what is in the way on this machine, in words. */
  readonly obstacles: readonly string[];
  /** D4: we handed this epoch over and have not met its successor. */
  readonly released: boolean;
  /** fence.d succeeded for this peer since its last message. */
  readonly fencedAt: number | null;
  /** What an operator put in the way of this node's own decisions, or null. */
  readonly hold: HoldReason | null;
  /** ms after `startedAt` that a peer which was never heard is waited for. */
  readonly bootWaitMs: number;
  readonly policy: PolicyKind;
  readonly timing: Timing;
}
