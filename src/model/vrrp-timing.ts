/**
 * How long a VRRP node waits for another's words, and what its priority is worth. Pure; computed in whole
 * microseconds, because in hundredths of a second the skew of fast adverts would vanish.
 * @see carp-vrrp 2.2, 2.4
 */

/** The node that owns the addresses; nothing lowers it. */
export const OWNER_PRIORITY = 255;
const MOST = 254;

export interface VrrpPatience {
  readonly version: 2 | 3;
  /** Effective, 1..255. */
  readonly priority: number;
  /** ms between the adverts of the MASTER that is heard; own value until one is. */
  readonly activeMs: number;
  /** Adverts that may be missed, usually 3. */
  readonly downAdverts: number;
}

/** ms that a node waits longer than a better one, so that the best is first. */
export function vrrpSkewMs({ version, priority, activeMs }: Omit<VrrpPatience, 'downAdverts'>): number {
  const unitUs = version === 2 ? 1_000_000 : activeMs * 1000;
  return Math.floor(((256 - priority) * unitUs) / 256) / 1000;
}

/** ms without adverts after which a BACKUP takes over. */
export function vrrpDownMs(patience: VrrpPatience): number {
  return patience.downAdverts * patience.activeMs + vrrpSkewMs(patience);
}

/**
 * Priority with all contributions in it, 1..254; an owner's stays 255.
 * @param demotion sum of all contributions, negative for what makes this node better
 */
export function vrrpPriority(base: number, demotion: number): number {
  return base === OWNER_PRIORITY ? base : Math.min(Math.max(base - demotion, 1), MOST);
}
