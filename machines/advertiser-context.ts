/**
 * What an advertiser remembers, hears and is told, and the comparisons that decide an election.
 * @see carp-vrrp 1.4 to 1.7
 */
import { advertEveryMs, carpIntervals, compareAdverts, patienceMs } from '../src/model/carp-timing.ts';
import type { CarpIntervals } from '../src/model/carp-timing.ts';
import type { CarpState } from '../src/model/roles.ts';

export interface AdvertiserInput {
  readonly vhid: number;
  /** Whole seconds, 0..255. */
  readonly advbase: number;
  /** 0..254 */
  readonly advskew: number;
  /** Take over from a slower MASTER that still speaks. */
  readonly preempt: boolean;
  /** Who yields when two MASTERs tie: `bsd` both, `ucarp` the one whose address ucarp holds to be higher. */
  readonly mode: 'bsd' | 'ucarp';
  /** Source address of our adverts, for `ucarp` ties; null yields. */
  readonly selfAddress: string | null;
  /** Whether the group would be able to follow right now; see GROUP.HOLD. */
  readonly eligible: boolean;
  readonly linkUp: boolean;
  /** 32 random bits: breaks ties between equal nodes. */
  readonly seed: number;
  /** ms between the two bow-outs, default 20. */
  readonly bowOutGapMs?: number;
  /** ms before an address command is tried again, default 1000. */
  readonly retryMs?: number;
  /** ms of the first hold after the group refused, doubled each time up to a minute; default 1000. */
  readonly holdBaseMs?: number;
}

/** A valid advert of another node, as the receiver saw it. */
export interface HeardAdvert {
  readonly advbase: number;
  readonly advskew: number;
  readonly demote: number;
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
  readonly eligible: boolean;
  /** The group is primary and its services run: the address belongs here. */
  readonly holdsGroup: boolean;
  /** An address command was started and nothing proved the address gone. */
  readonly addressMayBeUp: boolean;
  readonly serving: boolean;
  /** Contributions by name, so that each is undone exactly once. */
  readonly demotion: Readonly<Record<string, number>>;
  readonly txErrors: number;
  readonly txSuccesses: number;
  readonly lastHeard: HeardAdvert | null;
  /** `at` of the last slower MASTER's advert that we answered at once. */
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
}

export type AdvertiserEvent =
  | { readonly type: 'ADMIN.START' }
  | { readonly type: 'ADMIN.STOP' }
  | { readonly type: 'LINK.UP' }
  | { readonly type: 'LINK.DOWN' }
  | ({ readonly type: 'RX' } & HeardAdvert)
  /** The group is primary with its services up: the address may go up. */
  | { readonly type: 'GROUP.PROMOTED' }
  /** The group begins to go down: the address goes first, adverts go on so that nobody else starts yet. */
  | { readonly type: 'GROUP.DEMOTING' }
  /** The group let go in an orderly way: another node may take over now. */
  | { readonly type: 'GROUP.RELEASED' }
  /** The group could not become or stay primary: bow out and hold off with growing delay. */
  | { readonly type: 'GROUP.DEMOTED'; readonly reason: string }
  /** This node must not become MASTER. A MASTER that holds the group stays one and says that it is worse. */
  | { readonly type: 'GROUP.HOLD' }
  | { readonly type: 'GROUP.ELIGIBLE' }
  /** A named contribution to demotion; 0 takes it back. */
  | { readonly type: 'DEMOTE'; readonly by: string; readonly amount: number }
  | { readonly type: 'TX.OK' }
  | { readonly type: 'TX.ERROR'; readonly error: string }
  /** The event loop, the process or the machine stood still. */
  | { readonly type: 'LOOP.STALL'; readonly ms: number };

/** What goes into an advert. */
export interface AdvertToSend {
  readonly advbase: number;
  /** Demotion included. */
  readonly advskew: number;
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

export function initialContext(input: AdvertiserInput): AdvertiserContext {
  return {
    settings: { bowOutGapMs: 20, retryMs: 1000, holdBaseMs: 1000, ...input },
    carp: 'INIT',
    reason: 'not started',
    started: false,
    linkUp: input.linkUp,
    eligible: input.eligible,
    holdsGroup: false,
    addressMayBeUp: false,
    serving: false,
    demotion: input.eligible ? {} : { storage: 240 },
    txErrors: 0,
    txSuccesses: 0,
    lastHeard: null,
    answeredAt: null,
    stalled: false,
    tieJitterMs: 0,
    seed: input.seed,
    refusals: 0,
    bowOut: false,
    refused: false,
    reclaim: false,
  };
}

export function intervalsOf(context: AdvertiserContext): CarpIntervals {
  const demotion = Object.values(context.demotion).reduce((sum, amount) => sum + amount, 0);
  return carpIntervals({ ...context.settings, demotion });
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

export type Standing = 'better' | 'worse' | 'yield' | 'insist';

/** How a heard advert stands to what we would send; ties are decided by the mode. */
export function standingOf(context: AdvertiserContext, heard: HeardAdvert): Standing {
  const own = { advbase: context.settings.advbase, advskew: intervalsOf(context).effectiveSkew };
  const order = compareAdverts(heard, own);
  if (order !== 0) return order < 0 ? 'better' : 'worse';
  if (context.settings.mode === 'bsd' || context.settings.selfAddress === null) return 'yield';
  return asUcarpCompares(heard.source) < asUcarpCompares(context.settings.selfAddress) ? 'yield' : 'insist';
}

/** A MASTER says good-bye with the worst possible values. */
export function isBowOut(heard: HeardAdvert): boolean {
  return heard.advbase === 255 && heard.advskew === 255;
}

/** The MASTER announces itself more slowly than we are willing to wait. */
export function willTimeOut(context: AdvertiserContext, heard: HeardAdvert): boolean {
  const patience = patienceMs(context.settings.advbase, intervalsOf(context).effectiveSkew);
  return isBowOut(heard) || advertEveryMs(heard.advbase, heard.advskew) > patience;
}

/** Same seed, same sequence: 0 <= fraction < 1 and the seed after it. */
export function nextRandom(seed: number): { seed: number; fraction: number } {
  const next = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return { seed: next, fraction: next / 2 ** 32 };
}

/** ucarp compares addresses as its processor reads them: last octet first on the little-endian machines it runs on. */
function asUcarpCompares(address: string): number {
  return address.split('.').reduceRight((value, octet) => value * 256 + Number(octet), 0);
}
