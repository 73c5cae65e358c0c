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
  if (evidence.certainDeathAt !== null && evidence.certainDeathAt >= (heard ?? 0)) return 'dead';
  return evidence.now - silentSince(evidence) >= evidence.timing.promotionDelayMs ? 'silent' : 'alive';
}

/** From when on the peer's silence counts: not from before we ran, nor from while we stood still. */
export function silentSince(evidence: Evidence): number {
  return Math.max(lastHeard(evidence) ?? evidence.startedAt, evidence.startedAt, evidence.awakeSince);
}
