/** When a node that cannot let go of its disks has to be reset from outside. Pure. */
export interface WatchedGroup {
  readonly name: string;
  readonly role: 'primary' | 'secondary' | 'changing' | 'stuck';
  /** State of its chart as a dotted path. */
  readonly state: string;
}

/** Since when each group that cannot get down tries to, by name. ms */
export type Struggles = Readonly<Record<string, number>>;

/** On the way down with something still in hand. Then only the other node's answer is waited for. */
const HOLDS_ON = /^(demoting\.(?!handingOver|takingBack)|closing)/;

/** A group that was stuck and tries again has not come any further. */
export function noteStruggles(before: Struggles, groups: readonly WatchedGroup[], now: number): Struggles {
  const struggling = groups.filter(({ role, state }) => role === 'stuck' || HOLDS_ON.test(state));
  return Object.fromEntries(struggling.map(({ name }) => [name, before[name] ?? now]));
}

/** Why the watchdog is to reset this node, or null. @param afterMs null: never because of a group */
export function resetReason(struggles: Struggles, afterMs: number | null, now: number): string | null {
  if (afterMs === null) return null;
  const late = Object.entries(struggles).find(([, since]) => now - since >= afterMs);
  if (late === undefined) return null;
  const [name, since] = late;
  return `group ${name} cannot go down for ${Math.round((now - since) / 1000)} s`;
}
