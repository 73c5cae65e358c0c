/** What speaks against a promotion, what has to be waited for, and what speaks for it. */
import type { Reason } from './verdict.ts';

export interface Findings {
  readonly refusals: Reason[];
  readonly waits: { readonly reason: Reason; readonly retryInMs: number | null }[];
  readonly grounds: Reason[];
  next: string | null;
}

export function refuse(found: Findings, rule: string, code: string, text: string, next?: string): void {
  found.refusals.push({ rule, code, text });
  if (next !== undefined) found.next ??= next;
}

export function wait(
  found: Findings,
  rule: string,
  code: string,
  text: string,
  retryInMs: number | null = null,
  next?: string,
): void {
  found.waits.push({ reason: { rule, code, text }, retryInMs });
  if (next !== undefined) found.next ??= next;
}
