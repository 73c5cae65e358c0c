/**
 * What an election asks, whatever the protocol: what do we say, how long do we wait, how does a heard
 * advert stand to ours. Pure; one statechart runs CARP and VRRP by these answers.
 * @see carp-vrrp 1.4 to 1.6, 2.2, 2.3
 */
import type { AddressSettings } from './settings.ts';
import { compareAddresses } from './address-order.ts';
import { advertEveryMs, carpIntervals, compareAdverts, patienceMs } from './carp-timing.ts';
import { OWNER_PRIORITY, vrrpDownMs, vrrpPriority, vrrpSkewMs } from './vrrp-timing.ts';

/** Who yields when two CARP MASTERs tie: both (FreeBSD, OpenBSD), or the one whose address ucarp holds to be higher. */
export type CarpTieBreak = 'bsd' | 'openbsd' | 'ucarp';

export interface CarpElection {
  readonly protocol: 'carp';
  /** Whole seconds, 0..255; with 0 the interval is advskew/256 s alone. */
  readonly advbase: number;
  /** 1/256 s, 0..254 */
  readonly advskew: number;
  /** `openbsd` also says how demoted we are. */
  readonly tieBreak: CarpTieBreak;
}

export interface VrrpElection {
  readonly protocol: 'vrrp2' | 'vrrp3';
  /** 1..255; 255 owns the addresses and is MASTER from the start. */
  readonly priority: number;
  /** ms between our adverts as MASTER. */
  readonly intervalMs: number;
  /** Adverts that may be missed. */
  readonly downAdverts: number;
}

export type ElectionSettings = CarpElection | VrrpElection;

/** What an advert says about who sends it. */
export type Announcement =
  | {
      readonly protocol: 'carp';
      readonly advbase: number;
      /** Demotion included. */
      readonly advskew: number;
      /** OpenBSD's count; 0 from everybody else. */
      readonly demote: number;
    }
  | { readonly protocol: 'vrrp'; readonly priority: number; readonly intervalMs: number };

/** This node as it stands for election now. */
export interface Candidate {
  readonly settings: ElectionSettings;
  /** Contributions by name; positive makes us worse. */
  readonly demotion: Readonly<Record<string, number>>;
  /** Source addresses of our adverts, at most one of each family; none yields every tie. */
  readonly selfAddresses: readonly string[];
  /** ms between the adverts of the MASTER we follow (VRRP 3), or null. */
  readonly learnedMs: number | null;
  /** Another owner spoke so often that one of us has to give up. */
  readonly yieldsOwnership: boolean;
}

/** How a heard advert stands to what we say: `yield` and `insist` are the two sides of a tie. */
export type Standing = 'better' | 'worse' | 'yield' | 'insist';

/** How a group's address is elected; null where somebody else sees to it. */
export function electionOf(address: AddressSettings): ElectionSettings | null {
  switch (address.protocol) {
    case 'carp':
    case 'kernel-carp':
      return {
        protocol: 'carp',
        advbase: address.advbase,
        advskew: address.advskew,
        tieBreak: address.tieBreak,
      };
    case 'vrrp2':
    case 'vrrp3':
      return {
        protocol: address.protocol,
        priority: address.priority,
        intervalMs: address.intervalMs,
        downAdverts: address.downAdverts,
      };
    case 'keepalived':
    case 'external':
      return null;
  }
}

const BOW_OUT = { advbase: 255, advskew: 255 } as const;

/** What we say as MASTER. */
export function announcementOf(candidate: Candidate): Announcement {
  const { settings, demotion } = candidate;
  if (settings.protocol === 'carp') {
    const { advbase, tieBreak } = settings;
    const counts = Object.values(demotion).filter((amount) => amount > 0).length;
    const demote = tieBreak === 'openbsd' ? Math.min(counts, 255) : 0;
    return { protocol: 'carp', advbase, advskew: effectiveSkew(settings, demotion), demote };
  }
  return { protocol: 'vrrp', priority: effectivePriority(candidate), intervalMs: settings.intervalMs };
}

/** What a MASTER says that leaves in good order. */
export function goodbyeOf({ settings }: Candidate): Announcement {
  return settings.protocol === 'carp'
    ? { protocol: 'carp', ...BOW_OUT, demote: 0 }
    : { protocol: 'vrrp', priority: 0, intervalMs: settings.intervalMs };
}

export function isGoodbye(says: Announcement): boolean {
  return says.protocol === 'carp'
    ? says.advbase === BOW_OUT.advbase && says.advskew === BOW_OUT.advskew
    : says.priority === 0;
}

/** ms between two of our adverts as MASTER. */
export function advertIntervalMs({ settings, demotion }: Candidate): number {
  if (settings.protocol !== 'carp') return settings.intervalMs;
  return advertEveryMs(settings.advbase, effectiveSkew(settings, demotion));
}

/** ms without adverts after which a BACKUP takes over. CARP counts with its own undemoted values. */
export function downIntervalMs(candidate: Candidate): number {
  const { settings } = candidate;
  if (settings.protocol === 'carp') return patienceMs(settings.advbase, settings.advskew);
  return vrrpDownMs({ ...vrrpPatience(candidate, settings), downAdverts: settings.downAdverts });
}

/** ms between a MASTER's good-bye and our take-over; 0 is at once. */
export function successionMs(candidate: Candidate): number {
  const { settings } = candidate;
  return settings.protocol === 'carp' ? 0 : vrrpSkewMs(vrrpPatience(candidate, settings));
}

export function standingOf(candidate: Candidate, says: Announcement, source: string): Standing {
  const { settings } = candidate;
  const own = announcementOf(candidate);
  const self = candidate.selfAddresses.find((address) => address.includes(':') === source.includes(':'));
  if (says.protocol === 'carp' && own.protocol === 'carp') {
    const order = compareAdverts(says, own);
    if (order !== 0) return order < 0 ? 'better' : 'worse';
    const ucarp = settings.protocol === 'carp' && settings.tieBreak === 'ucarp';
    if (!ucarp || self === undefined) return 'yield';
    return asUcarpCompares(source) < asUcarpCompares(self) ? 'yield' : 'insist';
  }
  if (says.protocol === 'vrrp' && own.protocol === 'vrrp') {
    if (says.priority !== own.priority) return says.priority > own.priority ? 'better' : 'worse';
    // Two owners: for a while each believes in itself.
    if (own.priority === OWNER_PRIORITY) return 'insist';
    return self === undefined || compareAddresses(source, self) > 0 ? 'yield' : 'insist';
  }
  return 'worse';
}

/** The MASTER announces itself more slowly than we are willing to wait: it is as good as gone. */
export function willTimeOut({ settings, demotion }: Candidate, says: Announcement): boolean {
  if (settings.protocol !== 'carp' || says.protocol !== 'carp') return false;
  if (isGoodbye(says)) return true;
  const patience = patienceMs(settings.advbase, effectiveSkew(settings, demotion));
  return advertEveryMs(says.advbase, says.advskew) > patience;
}

/** OpenBSD: who is more demoted than we are is replaced, preempt or not; who is less is left alone. */
export function compareDemotion(candidate: Candidate, says: Announcement): number {
  const own = announcementOf(candidate);
  return says.protocol === 'carp' && own.protocol === 'carp' ? says.demote - own.demote : 0;
}

/** CARP replaces a worse MASTER at once; VRRP ignores it until its own time is over. */
export function preemptsAtOnce({ settings }: Candidate): boolean {
  return settings.protocol === 'carp';
}

/** The addresses are ours: MASTER from the start, and always preempting. */
export function ownsAddresses({ settings }: Candidate): boolean {
  return settings.protocol !== 'carp' && settings.priority === OWNER_PRIORITY;
}

/** Another node says that the addresses are its own, and it would win against us. */
export function isStrongerOwner(candidate: Candidate, says: Announcement, source: string): boolean {
  if (!ownsAddresses(candidate) || says.protocol !== 'vrrp' || says.priority !== OWNER_PRIORITY) return false;
  const self = candidate.selfAddresses.find((address) => address.includes(':') === source.includes(':'));
  return self === undefined || compareAddresses(source, self) > 0;
}

function effectiveSkew(settings: CarpElection, demotion: Candidate['demotion']): number {
  return carpIntervals({ ...settings, demotion: sum(demotion) }).effectiveSkew;
}

function effectivePriority(candidate: Candidate): number {
  const { settings, demotion, yieldsOwnership } = candidate;
  if (settings.protocol === 'carp') return 0;
  const priority = vrrpPriority(settings.priority, sum(demotion));
  return yieldsOwnership ? Math.min(priority, OWNER_PRIORITY - 1) : priority;
}

function vrrpPatience(candidate: Candidate, settings: VrrpElection) {
  return {
    version: settings.protocol === 'vrrp2' ? 2 : 3,
    priority: effectivePriority(candidate),
    activeMs: candidate.learnedMs ?? settings.intervalMs,
  } as const;
}

function sum(demotion: Candidate['demotion']): number {
  return Object.values(demotion).reduce((total, amount) => total + amount, 0);
}

/** ucarp compares addresses as its processor reads them: last octet first on the little-endian machines it runs on. */
function asUcarpCompares(address: string): number {
  return address.split('.').reduceRight((value, octet) => value * 256 + Number(octet), 0);
}
