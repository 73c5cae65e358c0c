/** What a hook is asked to do and what came of it. Plain JSON, shown as it is. @see SAFETY C1-C5 */

/** What a group's hooks are called with, as rc.d or LSB scripts are. */
export type HookVerb = 'start' | 'stop' | 'status';
/** A hook that says so in its header also knows `rehearse`. */
export type KnownVerb = HookVerb | 'rehearse';

/** One call of one hook, ready to run. Times in ms. */
export interface HookStep {
  /** Group, or `notify` and `fence` for the hooks of these directories. */
  readonly group: string;
  /** File name, e.g. `20-ext4`. */
  readonly name: string;
  /** The executable. */
  readonly path: string;
  /** Verb of a group's hook; first argument of another one. */
  readonly verb: string;
  readonly args: readonly string[];
  /** The whole environment, nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Of each attempt. */
  readonly timeoutMs: number;
  /** Between TERM and KILL. */
  readonly graceMs: number;
  /** How often exit 75 is tried again. */
  readonly retries: number;
  readonly retryDelayMs: number;
}

export interface HookOutcome {
  /** Null when it did not exit by itself, or its end is not known. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  /** Ended because the caller no longer wanted it. */
  readonly aborted: boolean;
  /** No process of this run is left. False after a good `start` that left its service running. */
  readonly groupGone: boolean;
  readonly durationMs: number;
  /** The end of what it printed, bounded. */
  readonly output: string;
  readonly attempts: number;
  /** What went wrong in words, null when it exited by itself with 0. */
  readonly failure: string | null;
}

/** C5: only an exit with 0 that nobody forced is success. */
export function hookSucceeded(outcome: HookOutcome): boolean {
  return outcome.exitCode === 0 && !outcome.timedOut && !outcome.aborted && outcome.failure === null;
}

/** C2, C3: it had to be killed and something of it is still there. */
export function hookIsStuck(outcome: HookOutcome): boolean {
  return (outcome.timedOut || outcome.aborted) && !outcome.groupGone;
}

export type ServiceState = 'running' | 'stopped' | 'failed';

/** The answer of verb `status`: 0 running, 3 not running, anything else (a time-out too) failed. */
export function serviceState(outcome: HookOutcome): ServiceState {
  if (hookSucceeded(outcome)) return 'running';
  return outcome.exitCode === 3 && !outcome.timedOut && !outcome.aborted ? 'stopped' : 'failed';
}
