/**
 * Holds back those who send too much, before their packets cost anything. Senders of valid adverts are vouched for
 * and always get through: whoever floods, also from forged addresses, must not drown them.
 * Pure: time comes in as ms of any monotonic clock.
 */
import { createTokenBucket } from './token-bucket.ts';

/** A hundred times what an election at 100 ms needs of one node. */
const OF_ONE = { perSecond: 1000, burst: 1000 };
/** All that nobody vouches for together: what their checks may cost is a few per cent of a core. */
const OF_STRANGERS = { perSecond: 5000, burst: 5000 };
/** Senders that are remembered one by one; the others share one allowance. */
const MOST_SENDERS = 256;
const VOUCHED_MS = 60_000;

export interface AdvertGate {
  /** @returns whether a packet of this sender may be looked at */
  admit(source: string, at: number): boolean;
  /** A valid advert came from there. */
  vouch(source: string, at: number): void;
}

export function createAdvertGate(): AdvertGate {
  type Bucket = ReturnType<typeof createTokenBucket>;
  const senders = new Map<string, Bucket>();
  const rest = createTokenBucket(OF_ONE);
  const strangers = createTokenBucket(OF_STRANGERS);
  const vouchedAt = new Map<string, number>();

  const bucketOf = (source: string): Bucket => {
    const known = senders.get(source);
    if (known !== undefined) return known;
    if (senders.size >= MOST_SENDERS) return rest;
    const made = createTokenBucket(OF_ONE);
    senders.set(source, made);
    return made;
  };
  return {
    admit: (source, at) => {
      const vouched = vouchedAt.get(source);
      if (vouched !== undefined && at - vouched < VOUCHED_MS) return true;
      return bucketOf(source).take(at) && strangers.take(at);
    },
    vouch: (source, at) => {
      vouchedAt.delete(source);
      vouchedAt.set(source, at);
      if (vouchedAt.size <= MOST_SENDERS) return;
      const [oldest] = vouchedAt.keys();
      if (oldest !== undefined) vouchedAt.delete(oldest);
    },
  };
}
