/** One look: evidence in, verdict out. */
import { expect } from 'vitest';

import { mayPromote } from '../../../src/model/decision.ts';
import { type Wishes, wantsPrimary } from '../../../src/model/intent.ts';
import { evidenceOf, type Given } from '../evidence.ts';

export interface DecisionScenario {
  readonly given: Given;
  readonly wishes?: Partial<Wishes>;
  readonly expect: ExpectedVerdict & {
    readonly retryInMs?: number;
    readonly next?: string | null;
    readonly wants?: boolean;
  };
}

export interface ExpectedVerdict {
  readonly answer: string;
  /** `RULE code`; others may be there, too. */
  readonly reasons?: readonly string[];
}

export function runDecision({ given, wishes, expect: expected }: DecisionScenario): void {
  const evidence = evidenceOf(given);
  const verdict = mayPromote(evidence);
  const codes = verdict.reasons.map(({ rule, code }) => `${rule} ${code}`);
  expect(verdict.answer, codes.join(', ')).toBe(expected.answer);
  for (const reason of expected.reasons ?? []) expect(codes).toContain(reason);
  if (expected.retryInMs !== undefined) expect(verdict.retryInMs).toBe(expected.retryInMs);
  if (expected.next !== undefined) expect(verdict.next).toBe(expected.next);
  if (expected.wants === undefined) return;
  const all: Wishes = { advert: null, prefer: null, onHold: false, ...wishes };
  expect(wantsPrimary(evidence, all) !== null).toBe(expected.wants);
}
