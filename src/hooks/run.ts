/** Runs one hook to a known end, or says that its end is not known. @see SAFETY C2, C3, C5 */
import { randomUUID } from 'node:crypto';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

import type { HookOutcome, HookStep } from '../model/hook.ts';
import { OutputFile } from './output-file.ts';
import type { HookLog } from './output-file.ts';
import { MARK_NAME, goneWithin, groupIsEmpty, signalRun } from './process-group.ts';
import type { HookRun } from './process-group.ts';

export interface RunHookOptions {
  /** Ends the hook as a time-out does. */
  readonly signal: AbortSignal;
  /** Private directory for what hooks print. */
  readonly outputDir: string;
  readonly log: HookLog;
  /** Told of a run that had to be ended and of which something survives. */
  readonly onLeft?: (run: HookRun) => void;
  /** As nice(1), where it may; default: as this process. */
  readonly nice?: number;
}

interface Attempt extends Pick<HookOutcome, 'exitCode' | 'signal' | 'timedOut' | 'aborted' | 'groupGone'> {
  readonly failure: string | null;
}

interface Exit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly spawnError: string | null;
}

/** Exit code of sysexits(3) EX_TEMPFAIL: try again. */
const TRY_AGAIN = 75;
/** After KILL, for the last member to go. @see SAFETY C2 */
const GONE_MS = 5_000;
const REAP_MS = 1_000;
const LAST_LINE_CHARS = 300;
/** Never started: nothing happened, nothing is left. */
const NOT_RUN: Attempt = {
  exitCode: null,
  signal: null,
  timedOut: false,
  aborted: true,
  groupGone: true,
  failure: 'was not run: the transition was given up',
};

/**
 * Runs a hook in a process group of its own, at most `retries` more times while it exits with 75.
 * It has ended when its leader exits, whoever still holds its output. After an exit the group is
 * left alone: it may be the service. At the time-out the group gets TERM, after `graceMs` KILL.
 * Never rejects for what the hook does; `hookSucceeded(outcome)` and `hookIsStuck(outcome)` judge it.
 */
export async function runHook(step: HookStep, options: RunHookOptions): Promise<HookOutcome> {
  const startedAt = performance.now();
  const output = await OutputFile.open(
    options.outputDir,
    `${step.group}.${step.name}.${step.verb}`,
    options.log,
  );
  const ended = new AbortController();
  const watching = output.watch(ended.signal).catch((error: unknown) => {
    options.log('warn', `output of hook ${step.name} is no longer bounded: ${String(error)}`);
  });
  try {
    const { last, attempts } = await attemptAll(step, output.fd, options);
    const text = await output.tail();
    return {
      ...last,
      failure: last.failure === null ? null : withLastLine(last.failure, text),
      durationMs: Math.round(performance.now() - startedAt),
      output: text,
      attempts,
    };
  } finally {
    ended.abort();
    await watching;
    await output.close();
  }
}

async function attemptAll(step: HookStep, fd: number, options: RunHookOptions) {
  const { signal, log } = options;
  let last = NOT_RUN;
  let attempts = 0;
  while (!signal.aborted) {
    attempts += 1;
    last = await attempt(step, fd, options);
    if (last.exitCode !== TRY_AGAIN || last.timedOut || last.aborted || attempts > step.retries) break;
    log('info', `hook ${step.name} ${step.verb} asks to be tried again (attempt ${attempts})`);
    const waited = await sleep(step.retryDelayMs, true, { signal }).catch(() => false);
    if (!waited) last = { ...last, aborted: true };
  }
  return { last, attempts };
}

async function attempt(
  step: HookStep,
  fd: number,
  { signal, onLeft, nice }: RunHookOptions,
): Promise<Attempt> {
  const mark = randomUUID();
  // execa hands any descriptor on; only its types end at 9.
  const inherited = fd as 9;
  const child = execa(step.path, [step.verb, ...step.args], {
    cwd: '/',
    env: { ...step.env, [MARK_NAME]: mark },
    extendEnv: false,
    stdin: 'ignore',
    stdout: inherited,
    stderr: inherited,
    buffer: false,
    detached: true,
    cleanup: false,
    reject: false,
  });
  const exit: Promise<Exit> = child.then((result) => ({
    exitCode: result.exitCode ?? null,
    signal: result.signal ?? null,
    spawnError:
      result.exitCode === undefined && result.signal === undefined ? (result.shortMessage ?? null) : null,
  }));
  const pgid = child.pid;
  if (pgid === undefined) return notStarted((await exit).spawnError);
  if (nice !== undefined) makeNice(pgid, nice);

  const limit = new AbortController();
  const given = AbortSignal.any([signal, limit.signal]);
  const timer = setTimeout(() => limit.abort(), step.timeoutMs);
  const first = await Promise.race([exit, aborted(given)]).finally(() => clearTimeout(timer));
  if (first !== null) return byItself(first, pgid);

  const groupGone = await kill({ pgid, mark }, step.graceMs);
  if (!groupGone) onLeft?.({ pgid, mark });
  const late = await Promise.race([exit, sleep(REAP_MS, null, { ref: false })]);
  if (late === null) child.unref();
  const timedOut = limit.signal.aborted;
  const why = timedOut ? `timed out after ${step.timeoutMs / 1000} s` : 'was told to end';
  return {
    exitCode: late?.exitCode ?? null,
    signal: late?.signal ?? null,
    timedOut,
    aborted: !timedOut,
    groupGone,
    failure: groupGone
      ? `${why} and was ended`
      : `${why}, and some of its processes (group ${pgid}) survive even SIGKILL; they wait for a device or file system that hangs`,
  };
}

function makeNice(pid: number, nice: number): void {
  try {
    setPriority(pid, nice);
  } catch {
    // It has ended already, or may not be nicer than we are.
  }
}

/** C2: TERM, after the grace KILL, then whether nothing is left. */
async function kill(run: HookRun, graceMs: number): Promise<boolean> {
  await signalRun(run, 'SIGTERM');
  if (await goneWithin(run, graceMs)) return true;
  await signalRun(run, 'SIGKILL');
  return goneWithin(run, GONE_MS);
}

function byItself({ exitCode, signal }: Exit, pgid: number): Attempt {
  const ended = { exitCode, signal, timedOut: false, aborted: false, groupGone: groupIsEmpty(pgid) };
  if (exitCode === 0) return { ...ended, failure: null };
  if (exitCode === TRY_AGAIN) return { ...ended, failure: 'still asks to be tried again (exit 75)' };
  return {
    ...ended,
    failure: exitCode === null ? `was ended by ${signal ?? 'something unknown'}` : `exited with ${exitCode}`,
  };
}

function notStarted(message: string | null): Attempt {
  return {
    ...NOT_RUN,
    aborted: false,
    failure: `could not be started (${message ?? 'no process'}); check that its first line (#!) names a program that exists`,
  };
}

function withLastLine(failure: string, output: string): string {
  const line = output.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? failure : `${failure}: ${line.slice(0, LAST_LINE_CHARS)}`;
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    else signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}
