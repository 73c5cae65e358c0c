/**
 * The times that keep two nodes from writing at once. All in ms, on a monotonic
 * clock that counts suspended time. @see SAFETY "Words"
 */
import { ConfigError } from './errors.ts';

export interface Timing {
  /** How often a node says that it lives, on the data link and the peer channel. */
  readonly heartbeatMs: number;
  /** D: silence on every path for this long means "silent". */
  readonly promotionDelayMs: number;
  /** S: clock-rate skew and scheduling slack. */
  readonly slackMs: number;
  /** L: how long evidence lets a connected primary acknowledge. */
  readonly leaseMs: number;
  /** H: how long a primary waits before it goes on alone without the peer's word. */
  readonly holdMs: number;
}

export const DEFAULT_TIMING: Timing = {
  heartbeatMs: 100,
  promotionDelayMs: 500,
  slackMs: 50,
  leaseMs: 400,
  holdMs: 600,
};

/** @throws ConfigError `timing-unsafe`, explaining the inequality that does not hold with its numbers */
export function checkTiming(timing: Timing): void {
  const { heartbeatMs, promotionDelayMs: d, slackMs: s, leaseMs: l, holdMs: h } = timing;
  if (l + s >= d) {
    throw new ConfigError(
      'timing-unsafe',
      `lease ${l} ms + slack ${s} ms = ${l + s} ms is not less than promotion-delay ${d} ms: a cut-off primary would still ` +
        `acknowledge writes when the other node takes over; raise promotion-delay above ${l + s} ms or lower lease below ${d - s} ms`,
    );
  }
  if (h < d + s) {
    throw new ConfigError(
      'timing-unsafe',
      `hold ${h} ms is less than promotion-delay ${d} ms + slack ${s} ms = ${d + s} ms: a primary would go on alone while the ` +
        `other node may still take over without those writes; raise hold to at least ${d + s} ms`,
    );
  }
  if (heartbeatMs * 2 > l) {
    throw new ConfigError(
      'timing-unsafe',
      `heartbeat ${heartbeatMs} ms does not fit twice into lease ${l} ms: one lost heartbeat would hold all I/O; ` +
        `lower heartbeat to ${Math.floor(l / 2)} ms or raise lease`,
    );
  }
}
