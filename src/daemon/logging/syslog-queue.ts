/**
 * Lines on their way to a syslog daemon that may be slow, restarted or not there. At most a bounded
 * number of bytes wait; the oldest go first, and their number is told when lines pass again.
 */
import { Buffer } from 'node:buffer';

/** The receiver is there and has no room at this moment: it is asked again soon. */
export class BusyError extends Error {}

/** One way to a syslog daemon. */
export interface SyslogTransport {
  /** For messages: where the lines go. */
  readonly target: string;
  /** Hands one line over. Rejects when that cannot be done now, within a bounded time. */
  send(line: string): Promise<void>;
  close(): void;
}

export interface SyslogQueueOptions {
  readonly transport: SyslogTransport;
  /** The line that tells of lost ones. */
  readonly lostLine: (count: number) => string;
  /** Why lines wait now, or null when they pass again. Called on a change only. */
  readonly onTrouble: (reason: string | null) => void;
  readonly maxBytes?: number;
  /** First and longest pause between attempts. ms */
  readonly retryMs?: readonly [number, number];
}

const MAX_BYTES = 512 * 1024;
const RETRY_MS: readonly [number, number] = [250, 10_000];
/** A local socket holds few datagrams, and its reader takes them within a moment. ms */
const BUSY_MS: readonly [number, number] = [2, 100];

export class SyslogQueue {
  readonly #options: SyslogQueueOptions;
  readonly #maxBytes: number;
  readonly #retryMs: readonly [number, number];
  #lines: string[] = [];
  #bytes = 0;
  #lost = 0;
  #pumping: Promise<void> | null = null;
  #trouble: string | null = null;
  #closing = false;
  #wake: () => void = () => undefined;

  constructor(options: SyslogQueueOptions) {
    this.#options = options;
    this.#maxBytes = options.maxBytes ?? MAX_BYTES;
    this.#retryMs = options.retryMs ?? RETRY_MS;
  }

  /** Never waits and never throws. */
  add(line: string): void {
    if (this.#closing) return;
    this.#lines.push(line);
    this.#bytes += Buffer.byteLength(line);
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = null;
    });
  }

  #dropOldest(): void {
    const line = this.#lines.shift();
    if (line === undefined) return;
    this.#bytes -= Buffer.byteLength(line);
    this.#lost += 1;
  }

  /** Gives what waits a last chance of `ms`. */
  async close(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
    await Promise.race([this.#pumping, late]);
    clearTimeout(timer);
    this.#closing = true;
    this.#lines = [];
    this.#bytes = 0;
    this.#wake();
    this.#options.transport.close();
  }

  async #pump(): Promise<void> {
    let [pause] = this.#retryMs;
    let [busy] = BUSY_MS;
    while (!this.#closing && (this.#lines.length > 0 || this.#lost > 0)) {
      try {
        await this.#sendNext();
        [pause] = this.#retryMs;
        [busy] = BUSY_MS;
        this.#tell(null);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (error instanceof BusyError) {
          if (busy === BUSY_MS[1]) this.#tell(reason);
          await this.#sleep(busy);
          busy = Math.min(2 * busy, BUSY_MS[1]);
          continue;
        }
        this.#tell(reason);
        await this.#sleep(pause);
        pause = Math.min(2 * pause, this.#retryMs[1]);
      }
    }
  }

  async #sendNext(): Promise<void> {
    const { transport, lostLine } = this.#options;
    const lost = this.#lost;
    if (lost > 0) {
      await transport.send(lostLine(lost));
      this.#lost -= lost;
      return;
    }
    const [line] = this.#lines;
    if (line === undefined) return;
    await transport.send(line);
    // Unless it was dropped meanwhile: then it counts as lost although it arrived.
    if (this.#lines[0] !== line) return;
    this.#lines.shift();
    this.#bytes -= Buffer.byteLength(line);
  }

  #tell(reason: string | null): void {
    if (this.#closing || this.#trouble === reason) return;
    this.#trouble = reason;
    this.#options.onTrouble(reason);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      // What waits for a syslog daemon keeps no daemon alive.
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
