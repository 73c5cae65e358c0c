/** How often a primary looks for its peer, by how the last attempt ended. ms */
export const RETRY_MIN_MS = 100;
export const RETRY_MAX_MS = 1000;
/** A link that ends before both disks are equal is made anew less and less often. ms */
export const UNEQUAL = { firstMs: RETRY_MIN_MS, mostMs: 5000, steadyMs: 5000, tellFromMs: 1000 };
export const RETRY_REFUSED_MS = 1000;
/** What this node does not accept changes only by hand. */
export const RETRY_JUDGED_MS = 5000;
/** After a handover the other node needs a moment to become secondary: it is asked often at first. */
export const RETRY_FRESH_MS = 50;
export const FRESH_MS = 5000;

/** For the journal, when that is done less often. */
export function unequalText(resource: string): string {
  return `${resource}: the connection keeps ending before both disks are equal: it is made anew every ${UNEQUAL.mostMs / 1000} s at most; see why in the lines before, on both nodes`;
}
