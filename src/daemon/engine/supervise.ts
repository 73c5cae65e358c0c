/**
 * The main thread's side of one engine. An engine that dies or hangs is an event, never a dead
 * or waiting daemon: every command is bounded in time.
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describeError, DiskError, EngineError } from '../../model/errors.ts';
import type {
  EngineCommand,
  EngineEvent,
  EngineSetup,
  EngineSnapshot,
  LinkSecrets,
} from '../../replication/messages.ts';
import type { ClockPort } from '../../replication/ports.ts';
import { bootClock } from './clock.ts';
import { handOver } from './hand-over.ts';
import type { AcceptedConnection } from './hand-over.ts';
import type { LeaseMemory } from './lease-memory.ts';
import type { FromWorker, ToWorker, WorkerSetup } from './worker-messages.ts';

const START_TIMEOUT_MS = 30_000;
const COMMAND_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
/** A thread that is inside a system call cannot be ended. */
const TERMINATE_TIMEOUT_MS = 2000;
const MAX_COMMANDS = 256;
const WATCH_MS = 250;
/** No beat for this long: `engine.stalled`. */
export const STALLED_MS = 2000;

export interface EngineHandleOptions {
  /** `leaseMemory` must be the buffer of `lease`. */
  readonly setup: EngineSetup;
  readonly lease: LeaseMemory;
  readonly onEvent: (event: EngineEvent) => void;
  /** Once, unless stop() ended it. Commands under way were rejected before. */
  readonly onDied: (reason: string) => void;
  /** It did not beat for `ms`; onRecovered follows when it does. */
  readonly onStalled: (ms: number) => void;
  readonly onRecovered: () => void;
  /** Compiled entry; default the worker.js beside this file. */
  readonly worker?: URL;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Waiting {
  resolve(snapshot: EngineSnapshot): void;
  reject(error: Error): void;
}

export class EngineHandle {
  readonly name: string;
  readonly #options: EngineHandleOptions;
  #setup: EngineSetup;
  readonly #clock: ClockPort = bootClock();
  readonly #waiting = new Map<number, Waiting>();
  /** Descriptors that the worker has not confirmed yet. */
  readonly #underWay = new Set<number>();
  #worker: Worker | null = null;
  /** Given up, and not gone yet. */
  #left: Worker | null = null;
  #slot: number | null = null;
  #watch: NodeJS.Timeout | null = null;
  #watchedAt = 0;
  #stalled = false;
  #stopping = false;
  #opening: Waiting | null = null;
  #exited: Promise<void> = Promise.resolve();
  #nextId = 1;
  #relayed = 0;
  #warning: string | null = null;

  constructor(options: EngineHandleOptions) {
    this.#options = options;
    this.#setup = options.setup;
    this.name = options.setup.resource.name;
  }

  get running(): boolean {
    return this.#worker !== null && this.#opening === null;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  /** What the disk's lock does not do, for status; or null. */
  get warning(): string | null {
    return this.#warning;
  }

  /** Connections that were relayed because they could not be handed over: each byte of them costs two copies. */
  get relayed(): number {
    return this.#relayed;
  }

  /**
   * Starts the thread and opens the engine.
   * @throws DiskError or what the engine's open() throws, by code; EngineError `engine-died`, `engine-timeout`,
   *   `engine-running`, `engine-hangs`, `engine-too-many`
   */
  async start(timeoutMs = START_TIMEOUT_MS): Promise<EngineSnapshot> {
    if (this.#worker !== null)
      throw new EngineError('engine-running', `the engine of ${this.name} runs already`);
    if (this.#left !== null)
      throw new EngineError(
        'engine-hangs',
        `the engine of ${this.name} still hangs inside its disk: make the disk answer, or restart hastated`,
      );
    const slot = this.#options.lease.claimSlot();
    if (slot === null)
      throw new EngineError('engine-too-many', `no room for the engine of ${this.name}: too many resources`);
    this.#slot = slot;
    this.#stopping = this.#stalled = false;
    const workerData: WorkerSetup = { setup: this.#setup, slot };
    const worker = new Worker(this.#options.worker ?? new URL('./worker.js', import.meta.url), {
      workerData,
      name: `engine ${this.name}`,
    });
    this.#worker = worker;
    let failure: string | null = null;
    worker.on('message', (message: FromWorker) => this.#worker === worker && this.#take(message));
    worker.on('error', (error) => (failure = describeError(error)));
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        if (this.#left === worker) this.#left = null;
        else this.#ended(failure ?? `its thread ended with code ${code}`);
        resolve();
      });
    });
    try {
      const snapshot = await this.#bounded('opening', { timeoutMs }, (waiting) => {
        this.#opening = waiting;
      });
      this.#startWatch();
      return snapshot;
    } catch (error) {
      this.#stopping = true;
      await this.#terminate();
      throw error;
    } finally {
      this.#opening = null;
    }
  }

  /** @throws EngineError by the engine's code; `engine-died`, `engine-timeout`, `engine-aborted`, `engine-busy` */
  async command(command: EngineCommand, options: CommandOptions = {}): Promise<EngineSnapshot> {
    const worker = this.#worker;
    if (worker === null || this.#opening !== null) {
      throw new EngineError('engine-died', `the engine of ${this.name} does not run; restart the resource`);
    }
    if (this.#waiting.size >= MAX_COMMANDS) {
      throw new EngineError(
        'engine-busy',
        `the engine of ${this.name} has ${MAX_COMMANDS} commands to answer already`,
      );
    }
    if (command.type === 'stop') this.#stopping = true;
    const id = this.#nextId++;
    try {
      return await this.#bounded(command.type, options, (waiting) => {
        this.#waiting.set(id, waiting);
        worker.postMessage({ id, command } satisfies ToWorker);
      });
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Other settings from now on, and from the next start. Rejects as command() does. */
  async configure(resource: EngineSetup['resource']): Promise<void> {
    this.#setup = { ...this.#setup, resource };
    if (this.running) await this.command({ type: 'settings', resource });
  }

  /** The secret file or the certificates were read again. Rejects as command() does. */
  async rekey(secrets: LinkSecrets): Promise<void> {
    this.#setup = { ...this.#setup, ...secrets };
    if (this.running) await this.command({ type: 'secrets', secrets });
  }

  /** Takes the connection over; closes it when the engine does not run. @see handOver */
  adopt(connection: AcceptedConnection): void {
    if (this.#worker === null || this.#opening !== null) {
      connection.socket.destroy();
      return;
    }
    const { fd } = handOver(connection, this.#worker);
    if (fd === null) this.#relayed++;
    else this.#underWay.add(fd);
  }

  /** Stops the engine, by force after `timeoutMs`. Idempotent; onDied is not called. */
  async stop(timeoutMs = STOP_TIMEOUT_MS): Promise<void> {
    if (this.#worker === null) return;
    this.#stopping = true;
    await this.command({ type: 'stop' }, { timeoutMs }).catch(() => undefined);
    await within(this.#exited, TERMINATE_TIMEOUT_MS);
    await this.#terminate();
  }

  /**
   * Ends a hanging engine by force: onDied follows. One that is inside a system call is given up: its thread runs
   * nothing of ours any more, and keeps the disk until that call returns; start() refuses meanwhile.
   */
  async kill(): Promise<void> {
    await this.#terminate();
    const worker = this.#worker;
    if (worker === null) return;
    this.#left = worker;
    this.#ended('it hangs inside its disk and was given up');
  }

  async #terminate(): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    await within(
      worker.terminate().then(() => this.#exited),
      TERMINATE_TIMEOUT_MS,
    );
  }

  #take(message: FromWorker): void {
    switch (message.type) {
      case 'event':
        this.#options.onEvent(message.event);
        return;
      case 'adopted':
        this.#underWay.delete(message.fd);
        return;
      case 'opened':
        this.#warning = message.warning;
        this.#opening?.resolve(message.snapshot);
        return;
      case 'open-failed':
        this.#opening?.reject(errorOf(message));
        return;
      case 'reply': {
        const waiting = this.#waiting.get(message.id);
        if (message.ok) waiting?.resolve(message.snapshot);
        else waiting?.reject(errorOf(message));
      }
    }
  }

  #ended(reason: string): void {
    this.#worker = null;
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    if (this.#slot !== null) this.#options.lease.releaseSlot(this.#slot);
    this.#slot = null;
    this.#stalled = false;
    for (const fd of this.#underWay) closeSync(fd);
    this.#underWay.clear();
    const wasOpening = this.#opening !== null;
    const error = new EngineError(
      'engine-died',
      `the engine of ${this.name} died: ${reason}; see the log, then restart it`,
    );
    this.#opening?.reject(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    if (!this.#stopping && !wasOpening) this.#options.onDied(reason);
  }

  #startWatch(): void {
    this.#watchedAt = this.#clock.now();
    this.#watch = setInterval(() => this.#checkBeat(), WATCH_MS);
    this.#watch.unref();
  }

  #checkBeat(): void {
    const now = this.#clock.now();
    // After a pause of our own the engine's silence proves nothing yet.
    const paused = now - this.#watchedAt > STALLED_MS / 2;
    this.#watchedAt = now;
    if (paused || this.#slot === null) return;
    const silence = now - this.#options.lease.beatAt(this.#slot);
    if (silence > STALLED_MS && !this.#stalled) {
      this.#stalled = true;
      this.#options.onStalled(silence);
    } else if (silence <= STALLED_MS && this.#stalled) {
      this.#stalled = false;
      this.#options.onRecovered();
    }
  }

  /** Runs `begin` and settles with what its Waiting is told, the time-out or the signal. */
  #bounded(
    what: string,
    { timeoutMs = COMMAND_TIMEOUT_MS, signal }: CommandOptions,
    begin: (waiting: Waiting) => void,
  ): Promise<EngineSnapshot> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: Error): void => {
        done();
        reject(error);
      };
      const timer = setTimeout(() => {
        fail(
          new EngineError(
            'engine-timeout',
            `the engine of ${this.name} did not answer "${what}" within ${timeoutMs} ms`,
          ),
        );
      }, timeoutMs);
      const onAbort = (): void =>
        fail(
          new EngineError('engine-aborted', `"${what}" of ${this.name} was given up`, {
            cause: signal?.reason,
          }),
        );
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      begin({
        resolve: (snapshot) => {
          done();
          resolve(snapshot);
        },
        reject: fail,
      });
    });
  }
}

function errorOf({ code, message }: { code: string; message: string }): Error {
  return code.startsWith('disk-') ? new DiskError(code, message) : new EngineError(code, message);
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([promise, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}
