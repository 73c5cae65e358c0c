/** The answer of `mayPromote`. Every reason names its rule and what would change it. */
export interface Reason {
  /** Rule number of the safety rules, e.g. `B2`. */
  readonly rule: string;
  /** Stable word, e.g. `peer-is-primary`. */
  readonly code: string;
  /** What is so, and what would change it. */
  readonly text: string;
}

export interface Verdict {
  readonly answer: 'promote' | 'wait' | 'refuse';
  readonly reasons: readonly Reason[];
  /** For `wait`: ask again after this many ms (null = when evidence changes). */
  readonly retryInMs: number | null;
  /** The safe next command for an operator, or null when nothing is to be done. */
  readonly next: string | null;
}
