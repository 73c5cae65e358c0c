/**
 * Whether a node should try to become primary at all. `mayPromote` says whether it may;
 * this says whether anybody wants it to. Pure.
 */
import { peerPresence } from './presence.ts';
import type { Evidence } from './evidence.ts';
import type { CarpState, NodeName } from './roles.ts';

export interface Wishes {
  /** State of our own advertiser, null when the group has no address. */
  readonly advert: CarpState | null;
  readonly prefer: NodeName | null;
  /** Maintenance or standby: never by itself. */
  readonly onHold: boolean;
}

/** Why this node wants to be primary, or null. */
export function wantsPrimary(evidence: Evidence, wishes: Wishes): string | null {
  if (evidence.trigger.kind !== 'automatic')
    return evidence.trigger.kind === 'operator' ? 'an operator asked' : 'the peer handed over';
  if (wishes.onHold) return null;
  switch (peerPresence(evidence)) {
    case 'none':
      return 'there is no other node';
    case 'fenced':
    case 'dead':
    case 'silent':
      return 'the peer is gone';
    case 'alive':
      break;
  }
  if (evidence.report === null || evidence.report.primary || evidence.report.changing) return null;
  // Only a node that has the data can go ahead; between equals the preferred one, then adverts, then the name.
  if (!evidence.report.candidate) return 'nobody is primary and the peer cannot be';
  if (wishes.prefer !== null)
    return wishes.prefer === evidence.self ? 'nobody is primary and this node is preferred' : null;
  if (wishes.advert !== null) return wishes.advert === 'MASTER' ? 'the adverts elected this node' : null;
  return evidence.peer !== null && evidence.self < evidence.peer
    ? 'nobody is primary and this node comes first by name'
    : null;
}
