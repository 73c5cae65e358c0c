/** The daemon's side of the keeper: starts it, feeds it, and hears when it ended or had to act. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { CleanupAction } from '../device/cleanup.ts';
import { HastateError } from '../model/errors.ts';
import { LineSplitter } from './line-splitter.ts';
import {
  MAX_LINE_CHARACTERS,
  parseFromKeeper,
  type CleanedReport,
  type FromKeeper,
  type ToKeeper,
} from './messages.ts';

const START_TIMEOUT_MS = 10_000;
const BYE_TIMEOUT_MS = 2000;
/** A keeper that reads nothing gets no more beats; lists replace each other. */
const MAX_WAITING_BYTES = 64 * 1024;

export interface KeeperOptions {
  /** Absolute path of the keeper's main.js. */
  readonly entry: string;
  /** No beat for this long means that the daemon is frozen. Beat at least four times in it. */
  readonly stallMs: number;
}

export interface KeeperHandle {
  readonly pid: number;
  /** Replaces the whole list; address removals first. */
  set(actions: readonly CleanupAction[]): void;
  beat(): void;
  /** Nothing to clean up: the keeper ends. Resolves when it has, after 2 s at most. Idempotent. */
  bye(): Promise<void>;
  /** It ended without bye(): nothing cleans up after the daemon now. */
  onExit(listener: (reason: string) => void): void;
  /** The daemon was frozen and the keeper acted: address and devices are gone. */
  onCleaned(listener: (report: CleanedReport) => void): void;
}

/**
 * Starts the keeper in a session of its own, so that no signal to the daemon's group ends it. Its log
 * goes to the daemon's standard error. The daemon may end while it runs. Resolves when it listens.
 * @throws HastateError `keeper-start`
 */
export async function startKeeper({ entry, stallMs }: KeeperOptions): Promise<KeeperHandle> {
  const child = spawn(process.execPath, [entry, '--stall-ms', String(stallMs)], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const keeper = new Keeper(child);
  try {
    await keeper.ready;
  } catch (cause) {
    child.kill('SIGKILL');
    throw new HastateError('keeper-start', `cannot start the keeper ${entry}: nothing would clean up`, {
      cause,
    });
  }
  return keeper;
}

class Keeper implements KeeperHandle {
  readonly pid: number;
  /** Resolves when it listens. Rejects when it cannot be started or is not ready in time. */
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #exitListeners: ((reason: string) => void)[] = [];
  readonly #cleanedListeners: ((report: CleanedReport) => void)[] = [];
  #waitingSet: ToKeeper | null = null;
  #bye = false;
  #ready: () => void = () => undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        resolve();
        if (this.#bye) return;
        for (const listener of this.#exitListeners) listener(signal ?? `exit status ${code ?? 'unknown'}`);
      });
    });
    this.ready = new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`not ready within ${START_TIMEOUT_MS} ms`));
      const timer = setTimeout(late, START_TIMEOUT_MS);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      child.on('error', fail);
      child.on('exit', () => fail(new Error('it ended at once')));
      this.#ready = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    const lines = new LineSplitter(MAX_LINE_CHARACTERS, (line) => this.#take(parseFromKeeper(line)));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => lines.take(text));
    child.stdin?.on('error', () => undefined);
    child.stdin?.on('drain', () => this.#sendSet());
    child.unref();
    for (const stream of [child.stdin, child.stdout]) unref(stream);
  }

  set(actions: readonly CleanupAction[]): void {
    this.#waitingSet = { set: actions };
    this.#sendSet();
  }

  beat(): void {
    if (!this.#isFull()) this.#send({ beat: true });
  }

  async bye(): Promise<void> {
    if (!this.#bye) {
      this.#bye = true;
      this.#send({ bye: true });
      this.#child.stdin?.end();
    }
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), BYE_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  onExit(listener: (reason: string) => void): void {
    this.#exitListeners.push(listener);
  }

  onCleaned(listener: (report: CleanedReport) => void): void {
    this.#cleanedListeners.push(listener);
  }

  #take(message: FromKeeper | null): void {
    if (message === null) return;
    if ('ready' in message) this.#ready();
    else for (const listener of this.#cleanedListeners) listener(message);
  }

  #sendSet(): void {
    if (this.#waitingSet === null || this.#isFull()) return;
    const message = this.#waitingSet;
    this.#waitingSet = null;
    this.#send(message);
  }

  #send(message: ToKeeper): void {
    if (this.#child.stdin?.writable === true) this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #isFull(): boolean {
    return (this.#child.stdin?.writableLength ?? 0) > MAX_WAITING_BYTES;
  }
}

/** Pipes of a child are sockets, which the stream types do not say. */
function unref(stream: unknown): void {
  (stream as { unref?: () => void } | null)?.unref?.();
}
