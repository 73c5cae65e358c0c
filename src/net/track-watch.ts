/** Looks at a tracked thing again and again and tells when it became well or failed. */
import { setTimeout as pause } from 'node:timers/promises';

import { afterCheck } from '../model/tracking.ts';
import type { TrackSettings, TrackState } from '../model/tracking.ts';
import type { Check, CheckResult } from './track-checks.ts';

export interface TrackWatch {
  /** As it was last told. Well before the first look: a node that has just started is no worse than it was. */
  state(): TrackState;
  /** Resolves when nothing runs any more. */
  close(): Promise<void>;
}

/** @param onChange is told every change, with what the last look saw */
export function watchTracked(
  settings: Omit<TrackSettings, 'kind' | 'target'>,
  onChange: (well: boolean, why: string) => void,
  check: Check,
): TrackWatch {
  const stopping = new AbortController();
  let state: TrackState = { well: true, against: 0 };

  const stopped = (): boolean => stopping.signal.aborted;
  const run = async (): Promise<void> => {
    while (!stopped()) {
      const { well, why } = await bounded(check, settings.timeoutMs, stopping.signal);
      if (stopped()) return;
      const before = state.well;
      state = afterCheck(state, well, settings);
      if (state.well !== before) onChange(state.well, why);
      await pause(settings.intervalMs, null, { signal: stopping.signal }).catch(() => null);
    }
  };
  const running = run();
  return {
    state: () => state,
    close: () => {
      stopping.abort();
      return running;
    },
  };
}

async function bounded(check: Check, timeoutMs: number, stopping: AbortSignal): Promise<CheckResult> {
  const late = new AbortController();
  const end = (): void => late.abort();
  const timer = setTimeout(end, timeoutMs);
  stopping.addEventListener('abort', end, { once: true });
  try {
    return await Promise.race([
      check(late.signal),
      new Promise<CheckResult>((resolve) => {
        const tooLate = { well: false, why: `no answer in ${timeoutMs} ms` };
        // After the check's own words for it, which are better.
        late.signal.addEventListener('abort', () => setImmediate(() => resolve(tooLate)), { once: true });
      }),
    ]);
  } finally {
    clearTimeout(timer);
    stopping.removeEventListener('abort', end);
  }
}
