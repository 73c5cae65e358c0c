/** Real `hastated` and `hastate` processes from dist. For whole nodes to run, see lab.ts. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { controlClient } from '../../src/cli/client.ts';
import type { ControlCommand, GroupStatus, NodeStatus, ResourceStatus } from '../../src/protocol/control.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HASTATED = join(ROOT, 'dist/src/daemon/main.js');
const HASTATE = join(ROOT, 'dist/src/cli/main.js');
/** The same daemon, each module in a file of its own: a rule can be switched off there. */
const MODULES = join(ROOT, 'build/src/daemon/main.js');
const POLL_MS = 20;
const REQUEST_MS = 5000;
const PROGRAM_MS = 20_000;
const STOP_MS = 15_000;
const ALONE_MS = 15_000;

export const NODES = ['hasta', 'hastb'] as const;
export type LabNode = (typeof NODES)[number];

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DaemonFiles {
  readonly hastConf: string;
  /** Null: with only a hast.conf it is a hastd. */
  readonly hastateYaml: string | null;
  readonly control: string;
  readonly stateDir: string;
  readonly log: string;
  /** Words before the program, e.g. `ip netns exec NAME`. They must end by becoming it. */
  readonly enter?: readonly string[];
}

export class LabDaemon {
  readonly node: LabNode;
  readonly files: DaemonFiles;
  #process: ChildProcess | null = null;
  #ended: Promise<Ended> = Promise.resolve({ code: null, signal: null });

  constructor(node: LabNode, files: DaemonFiles) {
    this.node = node;
    this.files = files;
  }

  /** @throws Error when it does not run */
  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error(`${this.node} does not run`);
    return pid;
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** Settles when the process that was started last has ended. */
  get ended(): Promise<Ended> {
    return this.#ended;
  }

  /** Starts it in the foreground; its log is appended to. It ends with this process at the latest. */
  start(...more: string[]): this {
    const { hastConf, hastateYaml, stateDir, log } = this.files;
    const output = openSync(log, 'a', 0o600);
    const args = ['-F', '-n', this.node, '-c', hastConf, '--state-dir', stateDir];
    if (hastateYaml !== null) args.push('-C', hastateYaml);
    const words = [
      ...(this.files.enter ?? []),
      process.execPath,
      process.env['RULE_OFF'] === undefined ? HASTATED : MODULES,
      ...args,
      '--stop-at-eof',
      ...more,
    ];
    const child = spawn(words[0] ?? process.execPath, words.slice(1), { stdio: ['pipe', output, output] });
    closeSync(output);
    this.#process = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#process = null;
        resolve({ code, signal });
      });
    });
    return this;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** As when this process ended. */
  closeInput(): void {
    this.#process?.stdin?.end();
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#ended;
  }

  /** SIGTERM, and how it ended. @throws Error when it does not end in 15 s; it is killed then */
  async stop(): Promise<Ended> {
    this.signal('SIGTERM');
    return this.endsWithin(STOP_MS);
  }

  /** @throws Error when it still runs then; it is killed */
  async endsWithin(ms: number): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), ms);
    });
    const ended = await Promise.race([this.#ended, late]);
    clearTimeout(timer);
    if (ended !== null) return ended;
    await this.kill();
    throw new Error(`${this.node} did not end within ${ms} ms; its log:\n${await this.log()}`);
  }

  async log(): Promise<string> {
    return readFile(this.files.log, 'utf8');
  }

  /** Lines of the log that hold `text`. */
  async logged(text: string | RegExp): Promise<string[]> {
    const lines = (await this.log()).split('\n');
    return lines.filter((line) => (typeof text === 'string' ? line.includes(text) : text.test(line)));
  }

  request(
    command: ControlCommand,
    args: Record<string, unknown> = {},
    timeoutMs = REQUEST_MS,
  ): Promise<unknown> {
    return controlClient(this.files.control).request(command, args, timeoutMs);
  }

  async status(): Promise<NodeStatus> {
    return (await this.request('status')) as NodeStatus;
  }

  /** Asks for the status until it is as wanted. @throws Error with the last one and the log */
  async until(what: string, reached: (status: NodeStatus) => boolean, ms = 15_000): Promise<NodeStatus> {
    const deadline = performance.now() + ms;
    let last = 'it never answered';
    while (performance.now() < deadline) {
      if (this.#process === null) throw new Error(`${this.node} ended; its log:\n${await this.log()}`);
      try {
        const status = await this.status();
        if (reached(status)) return status;
        last = JSON.stringify({ warnings: status.warnings, groups: status.groups });
      } catch (error) {
        last = String(error);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`${this.node}: not ${what} within ${ms} ms: ${last}\n${await this.log()}`);
  }

  /** Answers, and its groups have been started. */
  untilRunning(): Promise<NodeStatus> {
    return this.until('running', ({ charts }) =>
      charts.some((c) => c.machine === 'node' && c.value === 'running'),
    );
  }

  untilPrimary(group: string, ms?: number): Promise<NodeStatus> {
    return this.until(`primary of ${group}`, (s) => groupOf(s, group).state === 'primary.serving', ms);
  }

  /** Running, and its peer has been silent long enough for a promotion. */
  async untilAlone(): Promise<void> {
    await this.untilRunning();
    await this.until('without its peer', ({ charts }) =>
      charts.some(({ machine, value }) => machine === 'link' && value === 'silent'),
    );
  }

  /** Makes it primary alone, on an operator's word. */
  async promoteAlone(group: string): Promise<void> {
    await this.untilAlone();
    const deadline = performance.now() + ALONE_MS;
    for (;;) {
      try {
        await this.request('promote', { group, force: true, reason: 'a test of one node' }, 20_000);
        return;
      } catch (error) {
        // A daemon that stood still on a busy machine does not yet take the silence for the peer's.
        if (!String(error).includes('wait for its report') || performance.now() > deadline) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

export function groupOf(status: NodeStatus, name: string): GroupStatus {
  const group = status.groups.find((one) => one.name === name);
  if (group === undefined) throw new Error(`no group ${name}`);
  return group;
}

export function resourceOf(status: NodeStatus, name: string): ResourceStatus {
  const resource = status.resources.find((one) => one.name === name);
  if (resource === undefined) throw new Error(`no resource ${name}`);
  return resource;
}

/** Runs `hastated` with exactly these arguments to its end. */
export function hastated(...args: string[]): Promise<Ran> {
  return runProgram(HASTATED, args);
}

/** Runs `hastate` with exactly these arguments to its end. */
export function hastate(...args: string[]): Promise<Ran> {
  return runProgram(HASTATE, args);
}

function runProgram(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const options = { timeout: PROGRAM_MS, killSignal: 'SIGKILL', encoding: 'utf8' } as const;
    const child = execFile(process.execPath, [program, ...args], options, (error, stdout, stderr) => {
      const { exitCode } = child;
      if (exitCode !== null) resolve({ code: exitCode, stdout, stderr });
      else reject(new Error(`${program} ${args.join(' ')} did not exit: ${stderr}`, { cause: error }));
    });
  });
}
