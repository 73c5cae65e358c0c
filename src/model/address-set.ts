/**
 * What two nodes of one segment have to agree on to hear each other, and how they change it one after the other
 * without a moment in which either finds the other silent. Pure.
 * @see carp-vrrp 1.2, 2.2
 */
import type { ElectionSettings } from './election.ts';
import type { AddressSettings } from './settings.ts';

export interface AddressSet {
  readonly settings: AddressSettings;
  readonly election: ElectionSettings;
  /** Content of the password file, without its line end; empty = none. */
  readonly key: Uint8Array;
}

/** Adverts of one set are refused by, or mislead, whoever has the other. */
export function differOnTheWire(a: AddressSet, b: AddressSet): boolean {
  return wireOf(a) !== wireOf(b);
}

function wireOf({ settings, election, key }: AddressSet): string {
  const { vhid, addresses, unicast } = settings;
  const pace =
    election.protocol === 'carp'
      ? [election.advbase, election.advbase === 0 ? election.advskew : null]
      : [election.intervalMs, election.downAdverts];
  return JSON.stringify([vhid, [...addresses].sort(), [...unicast].sort(), pace, [...key]]);
}

/** The election of `after`, still at the pace of `before`: both nodes change their pace together. */
export function atThePaceOf(before: ElectionSettings, after: ElectionSettings): ElectionSettings {
  if (before.protocol === 'carp' && after.protocol === 'carp') {
    const { advbase } = before;
    // Below a second the skew is the pace.
    const advskew = advbase === 0 || after.advbase === 0 ? before.advskew : after.advskew;
    return { ...after, advbase, advskew };
  }
  if (before.protocol !== 'carp' && after.protocol !== 'carp') {
    const { intervalMs, downAdverts } = before;
    return { ...after, intervalMs, downAdverts };
  }
  return after;
}

export interface ChangeUnderWay {
  /** ms since it began here. */
  readonly forMs: number;
  /** What the other hastate node says it has; null while it says nothing. */
  readonly peerHas: string | null;
  readonly weHave: string;
  /** An advert came that only the new set makes. */
  readonly heardNew: boolean;
}

/** For this long a foreign node, which tells nothing, has time to follow. ms */
export const FOLLOW_MS = 60_000;

/** Whether adverts of the set before are no longer needed. */
export function hasFollowed({ forMs, peerHas, weHave, heardNew }: ChangeUnderWay): boolean {
  if (peerHas !== null) return peerHas === weHave;
  return heardNew || forMs >= FOLLOW_MS;
}
