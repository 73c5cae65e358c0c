/**
 * When a group goes back to the node that it prefers. Pure: one look after another, with the time.
 * A move that does not last is repeated later and later, so that two nodes do not throw a group to and fro.
 */
import type { GroupSettings } from './settings.ts';

/** What the primary sees of the group and of the preferred node, which is the other one. */
export interface FailbackLook {
  readonly now: number;
  /** The group serves here. */
  readonly serving: boolean;
  /** See staysBecause(). */
  readonly stays: string | null;
  /** Another group is just moving: this one waits for its turn. */
  readonly busy: boolean;
}

export interface FailbackState {
  /** Since when it has been possible without interruption, ms; null: it is not. */
  readonly since: number | null;
  readonly lastMoveAt: number | null;
  /** The last move did not last, and that was counted. */
  readonly returned: boolean;
  /** Moves that did not last, in a row. */
  readonly bounced: number;
}

export const NO_FAILBACK: FailbackState = { since: null, lastMoveAt: null, returned: false, bounced: 0 };

/** A group that is back here so soon after it moved did not last there. ms */
const LASTS_MS = 10 * 60_000;
const FIRST_AGAIN_MS = 60_000;
const MAX_AGAIN_MS = 3_600_000;

type FailbackSettings = Pick<GroupSettings, 'failback' | 'failbackDelayMs'>;

/** The state after this look, and whether the group is to move now. */
export function lookAtFailback(
  settings: FailbackSettings,
  before: FailbackState,
  look: FailbackLook,
): { readonly state: FailbackState; readonly move: boolean } {
  const { now, serving, stays, busy } = look;
  // It came back, whether or not the other node did.
  const counted = serving ? countReturn(before, now) : before;
  if (settings.failback === 'never' || !serving || stays !== null)
    return { state: { ...counted, since: null }, move: false };
  const state = { ...counted, since: counted.since ?? now };
  const move = !busy && now - state.since >= failbackWaitMs(settings, state);
  return move
    ? { state: { ...state, since: null, lastMoveAt: now, returned: false }, move }
    : { state, move };
}

function countReturn(state: FailbackState, now: number): FailbackState {
  const { lastMoveAt, returned, bounced } = state;
  if (lastMoveAt === null || returned) return state;
  if (now - lastMoveAt >= LASTS_MS) return { ...state, lastMoveAt: null, bounced: 0 };
  return { ...state, returned: true, bounced: bounced + 1 };
}

/** How long the preferred node has to be ready. ms */
export function failbackWaitMs({ failbackDelayMs }: FailbackSettings, { bounced }: FailbackState): number {
  if (bounced === 0) return failbackDelayMs;
  return Math.max(failbackDelayMs, Math.min(MAX_AGAIN_MS, FIRST_AGAIN_MS * 2 ** (bounced - 1)));
}
