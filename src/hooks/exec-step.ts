/** The program that hast.conf names with `exec`, ready to run for one event. @see hast.conf(5), protocols: hast section 8 */
import { resolve } from 'node:path';

import type { HookStep } from '../model/hook.ts';
import { readHeader } from './discover.ts';
import { trustedExecutable } from './trust.ts';

/**
 * Called as hastd calls it: `<exec> <event> <resource> [args]`, with this process's environment. It has
 * the time of its `# hastate:` header, else 60 s.
 * @throws HookError when it is not there, others may change it, or its header is wrong
 */
export async function execStep(
  exec: string,
  event: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.geteuid?.() ?? 0,
): Promise<HookStep> {
  // hastd runs in the root directory, so a relative path starts there.
  const path = await trustedExecutable(resolve('/', exec), uid);
  const { timeoutMs, graceMs } = await readHeader(path);
  const env = Object.entries(environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return {
    group: 'exec',
    name: args[0] ?? '',
    path,
    verb: event,
    args,
    env: Object.fromEntries(env),
    timeoutMs,
    graceMs,
    retries: 0,
    retryDelayMs: 0,
  };
}
