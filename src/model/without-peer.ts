/** What a primary that hears nothing of its peer needs, and does. Pure. @see SAFETY A3, B8, F */
import type { Evidence } from './evidence.ts';
import { peerPresence, silentSince } from './presence.ts';
import type { HastateSettings } from './settings.ts';

/**
 * What the silence of a peer that is called in sync needs before a primary goes on without it. `silence`: nothing
 * more. `references`: this node is not the one that is cut off. `fence`: the peer is certainly down.
 */
export type AloneNeeds = 'silence' | 'references' | 'fence';

export function aloneNeeds(
  { groups, references }: Pick<HastateSettings, 'groups' | 'references'>,
  resource: string,
): AloneNeeds {
  const group = groups.find(({ resources }) => resources.includes(resource));
  if (group?.policy === 'consistent') return 'fence';
  return references.length > 0 ? 'references' : 'silence';
}

export interface PrimaryView {
  readonly evidence: Evidence;
  /** A member's record calls the peer in sync: it may take over, and nothing is acknowledged without it. */
  readonly namesPeer: boolean;
  readonly references: {
    /** No majority for a while. */
    readonly lost: boolean;
    /** A look that began after `at` (ms) is over and found no majority. */
    lostSince(at: number): boolean;
  };
}

/**
 * B8: why a primary steps down that reaches neither its peer nor a majority of its references, or null. A peer
 * that may take over leaves nothing to wait for. In maintenance the group stays as it is.
 */
export function cutOff({ evidence, namesPeer, references }: PrimaryView): string | null {
  if (evidence.peer === null || evidence.hold?.code === 'maintenance') return null;
  if (peerPresence(evidence) === 'alive') return null;
  const lost = namesPeer ? references.lostSince(silentSince(evidence)) : references.lost;
  return lost ? 'this node reaches neither its peer nor its references' : null;
}

/**
 * F: why a primary has its peer fenced so that it may go on, or null: silence is not enough. Not while it may itself be
 * the one that is cut off (B8), and not in maintenance, when somebody works on the network or the other node.
 */
export function fenceToGoOn({ evidence, namesPeer }: Omit<PrimaryView, 'references'>): string | null {
  if (evidence.policy !== 'consistent' || evidence.peer === null || !namesPeer) return null;
  const { configured, reached } = evidence.references;
  if (evidence.hold?.code === 'maintenance' || (configured > 0 && reached * 2 <= configured)) return null;
  const presence = peerPresence(evidence);
  return presence === 'silent' || presence === 'dead' ? `${evidence.peer} is silent` : null;
}
