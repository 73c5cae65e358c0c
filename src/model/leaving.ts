/** Whether a group that serves here is handed to the other node without anybody's order. Pure. @see SAFETY B5, F */
import type { PolicyKind } from './roles.ts';

/** `standby`: an operator's word for the whole node. `unfit`: its link or what is tracked. `service`: one failed. */
export type LeaveCause = 'standby' | 'unfit' | 'service' | 'failback';

export interface LeaveFacts {
  readonly policy: PolicyKind;
  /** Why the other node could not take it over without loss now, or null. Holds of an operator are in it. */
  readonly notReady: string | null;
  /** The other node's name, and its own words. */
  readonly peer: string;
  readonly words: { readonly healthy: boolean; readonly candidate: boolean } | null;
}

/** Why it stays, in words, or null when it is handed over. */
export function staysBecause(cause: LeaveCause, facts: LeaveFacts): string | null {
  const { policy, notReady, peer, words } = facts;
  if (policy === 'manual' && cause !== 'standby') return 'policy manual leaves it to a person';
  if (notReady !== null) return notReady;
  // Who is no better off would only hand it back.
  if (words?.healthy !== true) return `${peer} is not well for it either`;
  if (cause === 'failback' && !words.candidate) return `${peer} does not want it`;
  return null;
}
