/** What an operator put in the way of a group's own decisions on one node. Plain JSON, kept over restarts. */

export interface OperatorHold {
  /** ISO 8601, wall clock: for people. */
  readonly since: string;
  readonly reason: string;
}

export interface Holds {
  /** The whole node leads nothing by itself and hands over what it leads. */
  readonly standby: OperatorHold | null;
  /** By group: it stays as it is, whatever happens to the other node. */
  readonly maintenance: Readonly<Record<string, OperatorHold>>;
}

export const NO_HOLDS: Holds = { standby: null, maintenance: {} };

/** Why a group does not move by itself here. */
export interface HoldReason {
  readonly code: 'standby' | 'maintenance';
  readonly text: string;
  /** The command that ends it; GROUP stands for the group. */
  readonly next: string;
}

/** What holds `group` on this node, or null. */
export function holdOf({ standby, maintenance }: Holds, group: string): HoldReason | null {
  const kept = maintenance[group];
  if (kept !== undefined) {
    const text = `it is in maintenance since ${kept.since}: ${kept.reason}`;
    return { code: 'maintenance', text, next: 'hastate maintenance GROUP --off' };
  }
  if (standby === null) return null;
  const text = `this node is on standby since ${standby.since}: ${standby.reason}`;
  return { code: 'standby', text, next: 'hastate standby --off' };
}

/** @throws TypeError when it is none: the file was changed by hand */
export function readHolds(value: unknown): Holds {
  if (typeof value !== 'object' || value === null) throw new TypeError('it is no JSON object');
  const { standby = null, maintenance = {} } = value as Partial<Record<keyof Holds, unknown>>;
  if (typeof maintenance !== 'object' || maintenance === null)
    throw new TypeError("'maintenance' is no JSON object");
  const groups = Object.entries(maintenance).map(([group, hold]) => [group, readHold(hold, group)] as const);
  return {
    standby: standby === null ? null : readHold(standby, 'standby'),
    maintenance: Object.fromEntries(groups),
  };
}

function readHold(value: unknown, what: string): OperatorHold {
  const { since, reason } = (value ?? {}) as Partial<Record<keyof OperatorHold, unknown>>;
  if (typeof since !== 'string' || typeof reason !== 'string')
    throw new TypeError(`'${what}' has no 'since' and 'reason'`);
  return { since, reason };
}
