/** What the group's chart remembers and is told. Plain data. */
import type { Evidence } from '../src/model/evidence.ts';
import type { Wishes } from '../src/model/intent.ts';
import type { Epoch } from '../src/model/record.ts';
import type { NodeName } from '../src/model/roles.ts';
import type { Verdict } from '../src/model/verdict.ts';

export interface GroupContext {
  readonly group: string;
  /** Verdict of the last evaluation. */
  readonly verdict: Verdict | null;
  /** Why the group goes up or down now. */
  readonly reason: string;
  readonly epoch: Epoch | null;
  readonly handover: boolean;
  readonly handoverTo: NodeName | null;
  /** Another node is primary, or may be: nothing is kept from it while this one goes down. */
  readonly rival: boolean;
  /** Why the other node did not take over, or null. */
  readonly handoverError: string | null;
  readonly evidence: Evidence | null;
  /** Failed promotions in a row: each doubles the hold. */
  readonly failures: number;
  readonly holdBaseMs: number;
  readonly retryMs: number;
  readonly error: string | null;
  readonly stopping: boolean;
  /** The roles are a person's business: nothing is done to them at start (a resource outside any group). */
  readonly byHand: boolean;
  /** It is to be demoted as soon as its members have settled. */
  readonly leaving: boolean;
}

export interface GroupInput {
  readonly group: string;
  readonly holdBaseMs: number;
  readonly retryMs: number;
  readonly byHand: boolean;
}

export type GroupEvent =
  | { readonly type: 'EVALUATE'; readonly evidence: Evidence; readonly wishes: Wishes }
  | {
      readonly type: 'DEMOTE';
      readonly reason: string;
      readonly handoverTo: NodeName | null;
      /** Another node is primary already, or may be without our knowing. */
      readonly rival?: boolean;
    }
  | { readonly type: 'SECONDARY' }
  /** An operator mended what it failed for. */
  | { readonly type: 'RETRY' }
  /** The engine of a member that was settled is gone. */
  | { readonly type: 'MEMBER.LOST'; readonly reason: string }
  | { readonly type: 'STOP'; readonly handoverTo: NodeName | null };

export interface Scope {
  readonly group: string;
  readonly reason: string;
}

/** What a run of hooks came to. */
export interface HooksResult {
  readonly ok: boolean;
  readonly stuck: boolean;
  readonly summary: string;
}

/** Before anything happened. */
export function initialContext(input: GroupInput): GroupContext {
  return {
    ...input,
    verdict: null,
    reason: 'start',
    epoch: null,
    handover: false,
    handoverTo: null,
    rival: false,
    handoverError: null,
    evidence: null,
    failures: 0,
    error: null,
    stopping: false,
    leaving: false,
  };
}

/** What most ports are given. */
export const scope = ({ context }: { context: GroupContext }): Scope => ({
  group: context.group,
  reason: context.reason,
});
