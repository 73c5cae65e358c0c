/**
 * What is left of a hook's processes. Members of its process group, and on Linux also those
 * that left it (`timeout`, `setsid`) but still carry the run's mark in their environment.
 */
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

export interface HookRun {
  /** Process group, the leader's pid. */
  readonly pgid: number;
  /** Value of HASTATE_RUN in the environment of this run alone. */
  readonly mark: string;
}

export const MARK_NAME = 'HASTATE_RUN';
const POLL_MS = 50;
const PS_TIMEOUT_MS = 5_000;

/** Pids of the run's processes that are not zombies. Rejects when the system cannot tell. */
export async function membersOf(run: HookRun): Promise<number[]> {
  return process.platform === 'linux' ? membersByProc(run) : membersByPs(run);
}

/** Resolves with whether nothing of the run was left within `ms`; not being able to tell is "no". */
export async function goneWithin(run: HookRun, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  for (;;) {
    const left = await membersOf(run).catch(() => null);
    if (left?.length === 0) return true;
    const rest = deadline - performance.now();
    if (rest <= 0) return false;
    await sleep(Math.min(POLL_MS, rest));
  }
}

/** Signals every member, by group first so that none can be born between two signals. */
export async function signalRun(run: HookRun, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  signalQuietly(-run.pgid, signal);
  const left = await membersOf(run).catch((): number[] => []);
  for (const pid of left) signalQuietly(pid, signal);
}

/** Whether the group is empty, cheaply: zombies still count for a moment. */
export function groupIsEmpty(pgid: number): boolean {
  try {
    process.kill(-pgid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

function signalQuietly(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already, or not ours: what counts is what membersOf() finds afterwards.
  }
}

async function membersByProc(run: HookRun): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const members = await Promise.all(
    pids.map(async (pid) => ((await isMember(pid, run)) ? [Number(pid)] : [])),
  );
  return members.flat();
}

async function isMember(pid: string, run: HookRun): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // The command name may hold spaces and parentheses: fields count from the last one.
  const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === undefined || pgrp === undefined || state === 'Z' || state === 'X') return false;
  if (Number(pgrp) === run.pgid) return true;
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  return environment.split('\0').includes(`${MARK_NAME}=${run.mark}`);
}

async function membersByPs(run: HookRun): Promise<number[]> {
  const { stdout } = await execa('ps', ['-ax', '-o', 'pid=', '-o', 'pgid=', '-o', 'stat='], {
    timeout: PS_TIMEOUT_MS,
  });
  return parsePs(stdout, run.pgid);
}

/** Pids of the group in the output of `ps -ax -o pid= -o pgid= -o stat=` that are not zombies. */
export function parsePs(text: string, pgid: number): number[] {
  return text.split('\n').flatMap((line) => {
    const [pid, group, stat] = line.trim().split(/\s+/);
    return Number(group) === pgid && stat?.startsWith('Z') === false ? [Number(pid)] : [];
  });
}
