/** Which processes run, and which hold what. Linux's /proc; elsewhere nothing is found. */
import { readFileSync } from 'node:fs';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { runCommand } from './run-command.ts';

const PS_TIMEOUT_MS = 2000;
/** So many names are read at once: about 1 ms in which nothing else is done. */
const NAMES_AT_ONCE = 128;

export interface ProcessId {
  readonly pid: number;
  /** With the pid it names one process for ever: pids are used again. */
  readonly startTime: string;
}

export interface Holder extends ProcessId {
  readonly name: string;
  /** A path that it has open, or where it is. */
  readonly path: string;
}

/** Null when there is no such process, or only its zombie. */
export async function processStartTime(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return startTimeByPs(pid);
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  // The name in parentheses may hold anything, parentheses too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  return state === 'Z' || state === 'X' || startTime === undefined ? null : startTime;
}

/** Processes of this program that have `argument` on their command line. */
export async function findProcesses(program: string, argument: string): Promise<ProcessId[]> {
  const found: ProcessId[] = [];
  for (const pid of await pidsNamed(program)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const startTime = line.split('\0').includes(argument) ? await processStartTime(pid) : null;
    if (startTime !== null) found.push({ pid, startTime });
  }
  return found;
}

/**
 * Not by cmdline: reading it hangs with a process that hangs in a page fault; its name never does. So it can be
 * read without the detour over other threads, which clients would wait for when a device comes or goes.
 */
async function pidsNamed(program: string): Promise<number[]> {
  const found: number[] = [];
  const pids = await listPids();
  for (let from = 0; from < pids.length; from += NAMES_AT_ONCE) {
    if (from > 0) await new Promise((resolve) => setImmediate(resolve));
    found.push(...pids.slice(from, from + NAMES_AT_ONCE).filter((pid) => nameOf(pid) === program));
  }
  return found;
}

function nameOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}

/** Processes that have one of these paths, or something below it, open or as a directory. */
export async function findHolders(paths: readonly string[]): Promise<Holder[]> {
  const found: Holder[] = [];
  if (paths.length === 0) return found;
  for (const pid of await listPids()) {
    const held = (await openPaths(pid)).find((path) =>
      paths.some((root) => path === root || path.startsWith(`${root}/`)),
    );
    const startTime = held === undefined ? null : await processStartTime(pid);
    if (held === undefined || startTime === null) continue;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?');
    found.push({ pid, startTime, name: name.trim(), path: held });
  }
  return found;
}

async function openPaths(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}`;
  const descriptors = await readdir(`${directory}/fd`).catch(() => []);
  const links = ['cwd', 'root', 'exe', ...descriptors.map((fd) => `fd/${fd}`)];
  const targets = await Promise.all(links.map((link) => readlink(`${directory}/${link}`).catch(() => '')));
  return targets.filter((target) => target !== '');
}

async function listPids(): Promise<number[]> {
  const names = await readdir('/proc').catch(() => []);
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

async function startTimeByPs(pid: number): Promise<string | null> {
  const argv = ['ps', '-o', 'stat=', '-o', 'lstart=', '-p', String(pid)];
  const line = await runCommand(argv, { timeoutMs: PS_TIMEOUT_MS }).catch(() => '');
  return line === '' || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '');
}
