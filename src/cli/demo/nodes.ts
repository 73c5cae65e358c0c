/** The two daemons of the demonstration: started, killed, stopped, by their own pid only. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describeError, HastateError } from '../../model/errors.ts';
import type { JournalEvent, NodeStatus } from '../../protocol/control.ts';
import { controlClient } from '../client.ts';
import type { DemoNode, Scene } from './scene.ts';

const DAEMON = fileURLToPath(new URL('../../daemon/main.js', import.meta.url));
const POLL_MS = 10;
const STOP_MS = 20_000;

export class DemoDaemon {
  readonly name: DemoNode;
  readonly #scene: Scene;
  #process: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  constructor(name: DemoNode, scene: Scene) {
    this.name = name;
    this.#scene = scene;
  }

  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  start(): void {
    const scene = this.#scene;
    const log = openSync(scene.log(this.name), 'a', 0o600);
    // The daemon stops when this pipe ends, so that it never outlives the demonstration.
    const child = spawn(
      process.execPath,
      [
        DAEMON,
        '-F',
        '-n',
        this.name,
        '-c',
        scene.hastConf,
        '-C',
        scene.hastateYaml,
        '--state-dir',
        scene.stateDir(this.name),
        '--stop-at-eof',
      ],
      { stdio: ['pipe', log, log] },
    );
    closeSync(log);
    this.#process = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        this.#process = null;
        resolve();
      });
    });
  }

  /** SIGKILL: nothing is flushed, nothing is said. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#exited;
  }

  /** SIGTERM; SIGKILL when that does not end it in time. */
  async stop(): Promise<void> {
    this.#process?.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#process?.kill('SIGKILL');
    }, STOP_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  status(): Promise<NodeStatus | null> {
    return controlClient(this.#scene.control(this.name))
      .request('status', {}, 2000)
      .then((status) => status as NodeStatus)
      .catch(() => null);
  }

  async request(command: 'switchover', args: Record<string, unknown>, timeoutMs: number): Promise<unknown> {
    return controlClient(this.#scene.control(this.name)).request(command, args, timeoutMs);
  }

  /** Every journal entry from now on until the daemon ends or the signal says so. */
  async follow(listener: (event: JournalEvent) => void, signal: AbortSignal): Promise<void> {
    await controlClient(this.#scene.control(this.name)).follow({ follow: true }, listener, signal);
  }

  /** Polls until `reached`. @throws HastateError `demo-timeout` naming what did not happen and where the log is */
  async until(
    what: string,
    reached: (status: NodeStatus) => boolean,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<NodeStatus> {
    const deadline = performance.now() + timeoutMs;
    let last: NodeStatus | null = null;
    while (performance.now() < deadline) {
      signal.throwIfAborted();
      if (this.#process === null)
        throw new HastateError(
          'demo-daemon-ended',
          `${this.name} ended by itself; its log is ${this.#scene.log(this.name)}`,
        );
      last = await this.status();
      if (last !== null && reached(last)) return last;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const state =
      last === null
        ? 'it does not answer'
        : last.groups.map((group) => `${group.name} is ${group.state}, ${group.badge}`).join('; ');
    throw new HastateError(
      'demo-timeout',
      `${this.name}: ${what} did not happen within ${timeoutMs} ms (${state}); its log is ${this.#scene.log(this.name)}`,
    );
  }
}

/** Ends a background follower quietly when its daemon is gone. */
export function quietly(work: Promise<void>, note: (text: string) => void): void {
  work.catch((error: unknown) => {
    note(describeError(error));
  });
}
