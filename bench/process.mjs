/** Programs that a measure starts, and what processes cost. Everything started here is ended here, by pid. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const READY_MS = 10_000;
const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const PAGE_BYTES = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));

/** Compiles a client of this folder. @returns the program */
export function compile(directory, name) {
  const source = new URL(`./clients/${name}.c`, import.meta.url).pathname;
  const program = `${directory}/${name}`;
  execFileSync('gcc', ['-O2', '-Wall', '-o', program, source]);
  return program;
}

/** Runs a client to its end. @returns what it printed as JSON */
export async function client(program, ...args) {
  const { stdout } = await run(program, args.map(String), { timeout: 120_000, encoding: 'utf8' });
  return JSON.parse(stdout);
}

/** A server in the foreground that makes `socket` when it is ready; with null it is ready at once. */
export async function serve(socket, command, ...args) {
  const child = spawn(command, args.map(String), { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const deadline = performance.now() + READY_MS;
  while (socket !== null && !existsSync(socket)) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${command} did not start`);
    await pause(20);
  }
  return {
    pid: child.pid,
    async close() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** User and system time of the processes, all their threads, those that ended too. µs. */
export function cpuUs(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks / TICKS_PER_SECOND) * 1e6;
}

/** Bytes that the process has in memory. */
export function residentBytes(pid) {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES;
}
