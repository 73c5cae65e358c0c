/** One look at a tracked script. It runs as this daemon, so it is trusted as a hook is, and ends for certain. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';

import { describeError } from '../../model/errors.ts';
import { goneWithin, groupIsEmpty, type HookRun, MARK_NAME, signalRun } from '../../hooks/process-group.ts';
import { trustedExecutable } from '../../hooks/trust.ts';
import type { Check, CheckResult } from '../../net/track-checks.ts';

/**
 * Exit 0 is well. In time-out all its processes are killed; while one of them does not end no other is started.
 * @param uid who may own the script and the way to it, beside root
 */
export function scriptCheck(path: string, uid = process.getuid?.() ?? 0): Check {
  /** Of the last run, as far as it is not known to be gone. */
  let left: HookRun | null = null;
  return async (signal) => {
    if (left !== null && !(await goneWithin(left, 0)))
      return { well: false, why: `${path} still runs and cannot be killed` };
    left = null;
    let real: string;
    try {
      real = await trustedExecutable(path, uid);
    } catch (error) {
      return { well: false, why: describeError(error) };
    }
    const mark = randomUUID();
    return new Promise((resolve) => {
      const child = spawn(real, [], {
        stdio: 'ignore',
        detached: true,
        env: { ...process.env, [MARK_NAME]: mark },
      });
      const { pid } = child;
      const end = (result: CheckResult, thorough: boolean): void => {
        signal.removeEventListener('abort', late);
        resolve(result);
        if (pid === undefined) return;
        const run = { pgid: pid, mark };
        // What it left behind is of no use to anybody.
        if (!thorough && groupIsEmpty(pid)) return;
        left = run;
        void signalRun(run, 'SIGKILL');
      };
      const late = (): void => {
        end({ well: false, why: `${path} took too long` }, true);
      };
      signal.addEventListener('abort', late, { once: true });
      child.once('error', (error) => {
        end({ well: false, why: `${path} cannot be run: ${error.message}` }, false);
      });
      child.once('exit', (code, by) => {
        if (!signal.aborted) end({ well: code === 0, why: `${path} ended with ${by ?? code ?? '?'}` }, false);
      });
      if (signal.aborted) late();
    });
  };
}
