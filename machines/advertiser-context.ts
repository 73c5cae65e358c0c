/**
 * What an advertiser remembers, hears and is told. The comparisons of an election are in the model.
 * @see carp-vrrp 1.4 to 1.7, 2.2 to 2.5
 */
import { standingOf as standing } from '../src/model/election.ts';
import type { Announcement, Candidate, ElectionSettings, Standing } from '../src/model/election.ts';
import type { CarpState } from '../src/model/roles.ts';

export interface AdvertiserInput {
  readonly election: ElectionSettings;
  /** Take over from a worse MASTER that still speaks. */
  readonly preempt: boolean;
  /** Source addresses of our adverts, at most one of each family: they decide ties. */
  readonly selfAddresses: readonly string[];
  /** Whether the group would be able to follow right now; see GROUP.HOLD. */
  readonly eligible: boolean;
  readonly linkUp: boolean;
  /** 32 random bits: breaks ties between equal nodes. */
  readonly seed: number;
  /** ms between the two bow-outs of CARP, default 20. */
  readonly bowOutGapMs?: number;
  /** ms before an address command is tried again, default 1000. */
  readonly retryMs?: number;
  /** ms of the first hold after the group refused, doubled each time up to a minute; default 1000. */
  readonly holdBaseMs?: number;
  /** ms that a worse MASTER must have been heard before it is preempted, default 0. */
  readonly preemptDelayMs?: number;
  /** ms that a link must be up, or down, before it counts, default 0. */
  readonly linkUpDelayMs?: number;
  readonly linkDownDelayMs?: number;
  /** ms after losing an election in which nobody is preempted, default 0. */
  readonly minBackupMs?: number;
  /** ms after winning one in which tracking makes us no worse, default 0. */
  readonly minMasterMs?: number;
  /** Elections won or lost within `flapWindowMs` that are too many; 0 = any number. */
  readonly flapBudget?: number;
  readonly flapWindowMs?: number;
  /** ms of the first hold for it, doubled each time up to ten minutes. */
  readonly flapHoldMs?: number;
}

/** A valid advert of another node, as the receiver saw it. */
export interface HeardAdvert {
  readonly says: Announcement;
  readonly source: string;
  /** ms, monotonic. */
  readonly at: number;
}

export interface AdvertiserContext {
  readonly settings: Required<AdvertiserInput>;
  readonly carp: CarpState;
  /** Why the last change of state happened. */
  readonly reason: string;
  readonly started: boolean;
  readonly linkUp: boolean;
  /** What this node cannot lead without, by name, and does not have. */
  readonly faults: readonly string[];
  readonly eligible: boolean;
  /** The group is primary and its services run: the address belongs here. */
  readonly holdsGroup: boolean;
  /** While the group went down another node was primary, or may have been. */
  readonly rival: boolean;
  /** An address command was started and nothing proved the address gone. */
  readonly addressMayBeUp: boolean;
  readonly serving: boolean;
  /** Contributions by name, so that each is undone exactly once. */
  readonly demotion: Readonly<Record<string, number>>;
  readonly txErrors: number;
  readonly txSuccesses: number;
  readonly lastHeard: HeardAdvert | null;
  /** ms between the adverts of the MASTER that we follow (VRRP 3). */
  readonly learnedMs: number | null;
  /** `at` of the first of the worse MASTER's adverts, null when a better one speaks or nobody. */
  readonly worseSince: number | null;
  /** Adverts of a stronger owner heard while we are one as well. */
  readonly rivalOwners: number;
  /** `at` of the last worse MASTER's advert that we answered at once. */
  readonly answeredAt: number | null;
  /** The event loop stood still while we were waiting: the next silence counts only when it lasts. */
  readonly stalled: boolean;
  readonly tieJitterMs: number;
  readonly seed: number;
  /** How often in a row the group could not follow. */
  readonly refusals: number;
  /** How the MASTER that is being left goes. */
  readonly bowOut: boolean;
  readonly refused: boolean;
  /** The group got hold again before the leave was over. */
  readonly reclaim: boolean;
  /** Long enough BACKUP to preempt again, long enough MASTER to listen to tracking. */
  readonly rested: boolean;
  readonly settled: boolean;
  /** Elections won or lost within the window, and how often in a row they were too many. */
  readonly flaps: number;
  readonly flapHolds: number;
}

export type AdvertiserEvent =
  | { readonly type: 'ADMIN.START' }
  | { readonly type: 'ADMIN.STOP' }
  | { readonly type: 'LINK.UP' }
  | { readonly type: 'LINK.DOWN' }
  /** The link has been so for long enough. */
  | { readonly type: 'LINK.BACK' }
  | { readonly type: 'LINK.LOST' }
  /** Something that this node cannot lead without is missing, or there again. */
  | { readonly type: 'FAULT'; readonly by: string }
  | { readonly type: 'FAULT.OVER'; readonly by: string }
  | ({ readonly type: 'RX' } & HeardAdvert)
  /** The group is primary with its services up: the address may go up. */
  | { readonly type: 'GROUP.PROMOTED' }
  /**
   * The group begins to go down: the address goes first, adverts go on so that nobody else starts yet. With a rival,
   * which is primary or may be, they end with the address and this node leads no more until GROUP.ELIGIBLE.
   */
  | { readonly type: 'GROUP.DEMOTING'; readonly rival: boolean }
  /** The group let go in an orderly way: another node may take over now. */
  | { readonly type: 'GROUP.RELEASED' }
  /** The group could not become or stay primary: bow out and hold off with growing delay. */
  | { readonly type: 'GROUP.DEMOTED'; readonly reason: string }
  /** This node must not become MASTER. A MASTER that holds the group stays one and says that it is worse. */
  | { readonly type: 'GROUP.HOLD' }
  | { readonly type: 'GROUP.ELIGIBLE' }
  /** Another member of the sync group was elected, or lost. */
  | { readonly type: 'SYNC.LEAD' }
  | { readonly type: 'SYNC.YIELD'; readonly reason: string }
  /** A named contribution to demotion; 0 takes it back. Tracking's are named `track:...`. */
  | { readonly type: 'DEMOTE'; readonly by: string; readonly amount: number }
  | { readonly type: 'TX.OK' }
  | { readonly type: 'TX.ERROR'; readonly error: string }
  /** The event loop, the process or the machine stood still. */
  | { readonly type: 'LOOP.STALL'; readonly ms: number }
  /** An operator ends the hold for too many elections, or for a group that could not be primary. */
  | { readonly type: 'HOLD.CLEAR' }
  /** New settings from the configuration; state, contributions and holds stay. */
  | { readonly type: 'CONFIGURE'; readonly settings: Partial<AdvertiserInput> }
  /** The list of addresses changed: what is up follows, what is not goes up as listed. */
  | { readonly type: 'ADDRESSES' }
  /** Own reminders. */
  | { readonly type: 'FLAP.FORGET' }
  | { readonly type: 'RESTED' }
  | { readonly type: 'SETTLED' };

/** What goes into an advert. */
export interface AdvertToSend {
  readonly says: Announcement;
  /**
   * When the last advert is longer ago than this (ms, on a clock that counts suspended time) the sender must
   * not send but report LOOP.STALL: somebody else may be MASTER by now. Null: send in any case.
   */
  readonly gapLimitMs: number | null;
}

export interface StateChange {
  readonly from: CarpState;
  readonly to: CarpState;
  readonly reason: string;
}

export interface AddressChange {
  readonly change: 'up' | 'down' | 'add-failed' | 'remove-failed';
  readonly error: string | null;
}

/** Too many elections: nobody is preempted and nobody's silence counts for this long. */
export interface FlapAlarm {
  readonly holdMs: number;
  readonly flaps: number;
}

const DEFAULTS = {
  bowOutGapMs: 20,
  retryMs: 1000,
  holdBaseMs: 1000,
  preemptDelayMs: 0,
  linkUpDelayMs: 0,
  linkDownDelayMs: 0,
  minBackupMs: 0,
  minMasterMs: 0,
  flapBudget: 0,
  flapWindowMs: 60_000,
  flapHoldMs: 10_000,
} as const;

export function initialContext(input: AdvertiserInput): AdvertiserContext {
  return {
    settings: { ...DEFAULTS, ...input },
    carp: 'INIT',
    reason: 'not started',
    started: false,
    linkUp: input.linkUp,
    faults: [],
    eligible: input.eligible,
    holdsGroup: false,
    rival: false,
    addressMayBeUp: false,
    serving: false,
    demotion: input.eligible ? {} : { storage: 240 },
    txErrors: 0,
    txSuccesses: 0,
    lastHeard: null,
    learnedMs: null,
    worseSince: null,
    rivalOwners: 0,
    answeredAt: null,
    stalled: false,
    tieJitterMs: 0,
    seed: input.seed,
    refusals: 0,
    bowOut: false,
    refused: false,
    reclaim: false,
    rested: true,
    settled: true,
    flaps: 0,
    flapHolds: 0,
  };
}

/** Two adverts of a stronger owner are borne, then one of the two has to give up. */
const PATIENCE_WITH_OWNERS = 2;
const TRACKING = 'track:';

/** This node as it stands for election. */
export function candidateOf(context: AdvertiserContext): Candidate {
  const { settings, demotion, settled } = context;
  const counted = settled
    ? demotion
    : Object.fromEntries(Object.entries(demotion).filter(([by]) => !by.startsWith(TRACKING)));
  return {
    settings: settings.election,
    demotion: counted,
    selfAddresses: settings.selfAddresses,
    learnedMs: context.learnedMs,
    yieldsOwnership: context.rivalOwners > PATIENCE_WITH_OWNERS,
  };
}

/** Contributions with one set, or taken back when `amount` is 0. */
export function withDemotion(
  demotion: Readonly<Record<string, number>>,
  by: string,
  amount: number,
): Record<string, number> {
  const others = Object.entries(demotion).filter(([name]) => name !== by);
  return Object.fromEntries(amount === 0 ? others : [...others, [by, amount]]);
}

/** How a heard advert stands to what we would send. */
export function standingOf(context: AdvertiserContext, heard: HeardAdvert): Standing {
  return standing(candidateOf(context), heard.says, heard.source);
}

/** A worse MASTER has been heard for so long that it may be preempted. */
export function preemptDelayOver({ settings, worseSince }: AdvertiserContext, at: number): boolean {
  return settings.preemptDelayMs === 0 || at - (worseSince ?? at) >= settings.preemptDelayMs;
}

/** Same seed, same sequence: 0 <= fraction < 1 and the seed after it. */
export function nextRandom(seed: number): { seed: number; fraction: number } {
  const next = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return { seed: next, fraction: next / 2 ** 32 };
}
