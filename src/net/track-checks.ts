/**
 * One look at each kind of thing that a node's fitness is tracked by. Never rejects: what cannot be looked at is
 * not well, and `why` says so.
 */
import { readdir, readFile } from 'node:fs/promises';

import { describeError } from '../model/errors.ts';
import type { TrackSettings } from '../model/tracking.ts';
import { readLink } from './link-state.ts';
import { referenceAnswers } from './references.ts';
import { runCommand } from './run-command.ts';

export interface CheckResult {
  readonly well: boolean;
  readonly why: string;
}

/** Looks once. Ends soon after `signal` does, whatever it looks at. */
export type Check = (signal: AbortSignal) => Promise<CheckResult>;

/** Linux keeps this many bytes of a process's name. */
const NAME_BYTES = 15;

/** What can be looked at from here: replication is known by whoever replicates, scripts are run as hooks are. */
export type CheckKind = Exclude<TrackSettings['kind'], 'replication' | 'script'>;

/** @param target see TrackSettings */
export function createCheck(kind: CheckKind, target: string): Check {
  switch (kind) {
    case 'interface':
      return async () => {
        const { up, reason } = await readLink(target);
        return { well: up, why: reason };
      };
    case 'process':
      return guarded(() => (target.startsWith('/') ? pidfileCheck(target) : nameCheck(target)));
    case 'file':
      return guarded(() => fileCheck(target));
    case 'ping':
    case 'tcp':
      return guarded(async (signal) => {
        const well = await referenceAnswers(target, signal);
        return { well, why: `${target} ${well ? 'answers' : 'does not answer'}` };
      });
  }
}

function guarded(check: Check): Check {
  return (signal) => check(signal).catch((error: unknown) => ({ well: false, why: describeError(error) }));
}

async function pidfileCheck(path: string): Promise<CheckResult> {
  const pid = Number.parseInt(await readFile(path, 'utf8'), 10);
  if (!(pid > 0)) return { well: false, why: `${path} holds no process id` };
  const well = await isAlive(pid);
  return { well, why: `process ${pid} of ${path} ${well ? 'runs' : 'is gone'}` };
}

async function nameCheck(name: string): Promise<CheckResult> {
  const well = process.platform === 'linux' ? await isNamedInProc(name) : await isNamedByPgrep(name);
  return { well, why: `${well ? 'a' : 'no'} process ${name} runs` };
}

async function isNamedByPgrep(name: string): Promise<boolean> {
  return (await runCommand(['pgrep', '-x', name])).exitCode === 0;
}

async function isNamedInProc(name: string): Promise<boolean> {
  const cut = Buffer.from(name).subarray(0, NAME_BYTES).toString();
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  for (const pid of pids) {
    const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => null);
    if (comm?.trimEnd() === cut && (await isAlive(Number(pid)))) return true;
  }
  return false;
}

/** A zombie is not: nothing but its entry is left. */
async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/^\d+ \(.*\) Z/s.test(stat);
}

/** Well unless it holds a number that is not 0, as keepalived has it: `echo 1` by anybody takes the node out. */
async function fileCheck(path: string): Promise<CheckResult> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  });
  const value = text.trim() === '' ? 0 : Number(text.trim());
  return { well: value === 0, why: `${path} says ${text.trim() || 'nothing'}` };
}
