/**
 * How often a CARP node speaks, how long it waits for another's words, and which of two adverts wins.
 * Pure, so that the statechart and the codec share it.
 * @see carp-vrrp 1.4, 1.5
 */

/** Above this advskew a node counts as demoted; contributions never push it further. */
const MAX_SKEW = 240;

export interface CarpIntervals {
  /** ms between two adverts of a MASTER. */
  readonly advIntervalMs: number;
  /** ms without adverts after which a BACKUP takes over: own values, undemoted. */
  readonly downIntervalMs: number;
  /** advskew plus demotion, 0..240: what goes on the wire. */
  readonly effectiveSkew: number;
}

/**
 * @param advbase whole seconds, 0..255; with 0 the interval is advskew/256 s alone
 * @param advskew 1/256 s, 0..255
 * @param demotion sum of all contributions, may be negative
 */
export function carpIntervals(settings: {
  readonly advbase: number;
  readonly advskew: number;
  readonly demotion: number;
}): CarpIntervals {
  const { advbase, advskew, demotion } = settings;
  const effectiveSkew = Math.min(Math.max(advskew + demotion, 0), MAX_SKEW);
  return {
    advIntervalMs: advertEveryMs(advbase, effectiveSkew),
    downIntervalMs: patienceMs(advbase, advskew),
    effectiveSkew,
  };
}

/** ms between the adverts of a node that sends these values. */
export function advertEveryMs(advbase: number, advskew: number): number {
  return advbase === 0 ? skewMs(Math.max(advskew, 1)) : advbase * 1000 + skewMs(advskew);
}

/** ms that a BACKUP with these values waits for a MASTER. */
export function patienceMs(advbase: number, advskew: number): number {
  return advbase === 0 ? 3 * skewMs(Math.max(advskew, 1)) : 3 * advbase * 1000 + skewMs(advskew);
}

/** Negative: `a` wins (advertises faster). Positive: `b` wins. Zero: a tie. */
export function compareAdverts(
  a: { readonly advbase: number; readonly advskew: number },
  b: { readonly advbase: number; readonly advskew: number },
): number {
  return a.advbase - b.advbase || a.advskew - b.advskew;
}

function skewMs(advskew: number): number {
  return (advskew * 1000) / 256;
}
