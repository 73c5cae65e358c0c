/** Lets `perSecond` through on average and `burst` at once. Time comes in as ms of any monotonic clock. */
export function createTokenBucket(limits: { readonly perSecond: number; readonly burst: number }): {
  take(at: number): boolean;
} {
  let tokens = limits.burst;
  let filledAt: number | null = null;
  return {
    take: (at) => {
      if (filledAt !== null) {
        tokens = Math.min(limits.burst, tokens + (Math.max(0, at - filledAt) * limits.perSecond) / 1000);
      }
      filledAt = Math.max(at, filledAt ?? at);
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
