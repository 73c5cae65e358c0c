/**
 * What a node's fitness to lead is judged by besides its disks, and what each judgement is worth. Pure.
 * @see carp-vrrp 2.4
 */
export type TrackKind = 'interface' | 'script' | 'process' | 'file' | 'ping' | 'tcp' | 'replication';

export interface TrackSettings {
  /** Names it in status and log, e.g. `interface eth1`. */
  readonly name: string;
  readonly kind: TrackKind;
  /** Interface, path, process name, address or `host:port`; empty for `replication`. */
  readonly target: string;
  /**
   * 0: without it this node cannot lead. Negative: so much worse while it fails. Positive: so much better
   * while it is well. In units of advskew (CARP) or priority (VRRP).
   */
  readonly weight: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Checks in a row that make it well, or failed. */
  readonly rise: number;
  readonly fall: number;
}

/** What a tracked item does to the election: a fault, or a named contribution to demotion. */
export type TrackEffect =
  { readonly kind: 'fault'; readonly over: boolean } | { readonly kind: 'demotion'; readonly amount: number };

export function trackEffect(weight: number, well: boolean): TrackEffect {
  if (weight === 0) return { kind: 'fault', over: well };
  const counts = weight > 0 ? well : !well;
  return { kind: 'demotion', amount: counts ? -weight : 0 };
}

/** A tracked item's state after one more check. */
export interface TrackState {
  readonly well: boolean;
  /** Checks in a row that said the opposite of `well`. */
  readonly against: number;
}

export function afterCheck(
  state: TrackState,
  passed: boolean,
  limits: Pick<TrackSettings, 'rise' | 'fall'>,
): TrackState {
  if (passed === state.well) return { well: state.well, against: 0 };
  const against = state.against + 1;
  return against >= (passed ? limits.rise : limits.fall)
    ? { well: passed, against: 0 }
    : { well: state.well, against };
}
