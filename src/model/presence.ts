/** Is the peer there? Pure. @see SAFETY D, B6 */
import type { Evidence } from './evidence.ts';
import { PATHS } from './roles.ts';

/** When the peer was last heard on any path, or null. ms. */
export function lastHeard(evidence: Evidence): number | null {
  return PATHS.reduce<number | null>((latest, path) => {
    const at = evidence.heardAt[path];
    return at !== null && (latest === null || at > latest) ? at : latest;
  }, null);
}

export type PeerPresence = 'none' | 'alive' | 'silent' | 'dead' | 'fenced';

/** What the silence of the peer amounts to now. @see SAFETY D, B6 */
export function peerPresence(evidence: Evidence): PeerPresence {
  if (evidence.peer === null) return 'none';
  const heard = lastHeard(evidence);
  if (evidence.fencedAt !== null && evidence.fencedAt >= (heard ?? 0)) return 'fenced';
  if (isCertainlyDead(evidence)) return 'dead';
  return evidence.now - silentSince(evidence) >= evidence.timing.promotionDelayMs ? 'silent' : 'alive';
}

/**
 * Nothing was heard since the peer was cut off. What its data link still held then may be read a moment later than
 * the end of the peer channel; that is within the slack for scheduling, and the data link is down, too.
 */
function isCertainlyDead({ certainDeathAt, heardAt, members, timing }: Evidence): boolean {
  if (certainDeathAt === null) return false;
  const { dataLink, peerChannel, adverts } = heardAt;
  if (Math.max(peerChannel ?? 0, adverts ?? 0) > certainDeathAt) return false;
  if ((dataLink ?? 0) <= certainDeathAt) return true;
  const linksDown = members.every(({ dataLinkUp }) => !dataLinkUp);
  return linksDown && (dataLink ?? 0) <= certainDeathAt + timing.slackMs;
}

/** From when on the peer's silence counts: not from before we ran, nor from while we stood still. */
export function silentSince(evidence: Evidence): number {
  return Math.max(lastHeard(evidence) ?? evidence.startedAt, evidence.startedAt, evidence.awakeSince);
}

/** D5: the peer is heard as primary, too. Two that keep taking the address back would make it flap. */
export function hasRival(evidence: Evidence): boolean {
  return evidence.report?.primary === true && peerPresence(evidence) === 'alive';
}
