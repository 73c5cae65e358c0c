/**
 * A small NBD client for the demonstration and the tests. Never reconnects: a device
 * client that replays into a later epoch is what SAFETY D3 forbids.
 */
import { connect, type Socket } from 'node:net';
import { NetError } from '../model/errors.ts';
import {
  CommandFlag,
  NbdCommand,
  SIMPLE_REPLY_BYTES,
  decodeSimpleReply,
  encodeRequest,
  nbdErrorName,
  type NbdSimpleReply,
} from '../protocol/nbd.ts';
import { negotiate } from './nbd-initiator-handshake.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const DISCONNECT_TIMEOUT_MS = 1000;

export interface NbdTarget {
  readonly socketPath: string;
  readonly exportName: string;
}

interface Pending {
  readonly what: string;
  /** Bytes of payload that follow a successful reply. */
  readonly payloadBytes: number;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: NetError) => void;
}

/**
 * @throws NetError `nbd-connect` (nobody there, not within 10 s), `nbd-refused` (no such export);
 *   the signal's reason when aborted
 */
export async function connectNbd(target: NbdTarget, signal?: AbortSignal): Promise<NbdInitiator> {
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  const socket = connect(target.socketPath);
  const end = (): void => {
    socket.destroy();
  };
  signal?.addEventListener('abort', end);
  timeout.addEventListener('abort', end);
  try {
    const { sizeBytes, rest } = await negotiate(socket, target);
    return new NbdInitiator(socket, sizeBytes, rest);
  } catch (error) {
    socket.destroy();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', end);
    timeout.removeEventListener('abort', end);
  }
}

export class NbdInitiator {
  readonly sizeBytes: number;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextCookie = 1;
  #unparsed: Buffer[] = [];
  #unparsedBytes = 0;
  #ended = false;

  /** @param rest what the server sent behind the handshake */
  constructor(socket: Socket, sizeBytes: number, rest: Buffer) {
    this.#socket = socket;
    this.sizeBytes = sizeBytes;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#end();
        resolve();
      });
    });
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    if (rest.length > 0) this.#take(rest);
    socket.resume();
  }

  /** Bytes. @throws NetError `nbd-closed`; `nbd-error` with the POSIX name in its message */
  read(offset: number, length: number): Promise<Buffer> {
    return this.#request(NbdCommand.READ, 0, offset, length, null);
  }

  /** With `fua` resolves when durable. @throws NetError `nbd-closed`, `nbd-error` */
  async write(offset: number, data: Buffer, options: { readonly fua?: boolean } = {}): Promise<void> {
    const flags = options.fua === true ? CommandFlag.FUA : 0;
    await this.#request(NbdCommand.WRITE, flags, offset, data.length, data);
  }

  /** Every write that was answered before is durable. @throws NetError `nbd-closed`, `nbd-error` */
  async flush(): Promise<void> {
    await this.#request(NbdCommand.FLUSH, 0, 0, 0, null);
  }

  /** The range reads as zeros; `mayPunch` lets the disk give its space back. @throws NetError `nbd-closed`, `nbd-error` */
  async zero(offset: number, length: number, options: { readonly mayPunch?: boolean } = {}): Promise<void> {
    const flags = options.mayPunch === true ? 0 : CommandFlag.NO_HOLE;
    await this.#request(NbdCommand.WRITE_ZEROES, flags, offset, length, null);
  }

  /** The range is no longer needed: what it reads as is open. @throws NetError `nbd-closed`, `nbd-error` */
  async trim(offset: number, length: number): Promise<void> {
    await this.#request(NbdCommand.TRIM, 0, offset, length, null);
  }

  /** Says goodbye and waits for the end, at most 1 s. Idempotent. */
  async disconnect(): Promise<void> {
    if (!this.#ended) {
      const bye = { flags: 0, type: NbdCommand.DISC, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
      this.#socket.end(encodeRequest(bye));
    }
    const timer = setTimeout(() => this.#socket.destroy(), DISCONNECT_TIMEOUT_MS);
    await this.closed;
    clearTimeout(timer);
  }

  #request(
    type: number,
    flags: number,
    offset: number,
    length: number,
    data: Buffer | null,
  ): Promise<Buffer> {
    const what = `${commandName(type)} of ${length} bytes at ${offset}`;
    if (this.#ended || !this.#socket.writable) return Promise.reject(closedError(what));
    const cookie = this.#nextCookie;
    this.#nextCookie = (cookie + 1) >>> 0;
    return new Promise((resolve, reject) => {
      const payloadBytes = type === NbdCommand.READ ? length : 0;
      this.#pending.set(cookie, { what, payloadBytes, resolve, reject });
      this.#socket.cork();
      this.#socket.write(encodeRequest({ flags, type, cookieHigh: 0, cookieLow: cookie, offset, length }));
      if (data !== null) this.#socket.write(data);
      this.#socket.uncork();
    });
  }

  #take(chunk: Buffer): void {
    this.#unparsed.push(chunk);
    this.#unparsedBytes += chunk.length;
    try {
      while (this.#answerNext());
    } catch {
      this.#socket.destroy();
    }
  }

  #answerNext(): boolean {
    if (this.#unparsedBytes < SIMPLE_REPLY_BYTES) return false;
    const reply = decodeSimpleReply(this.#peek(SIMPLE_REPLY_BYTES));
    const pending = this.#pendingFor(reply);
    const error = nbdErrorName(reply.error);
    const bytes = SIMPLE_REPLY_BYTES + (error === null ? pending.payloadBytes : 0);
    if (this.#unparsedBytes < bytes) return false;
    const whole = this.#peek(bytes);
    this.#unparsed = [whole.subarray(bytes)];
    this.#unparsedBytes -= bytes;
    this.#pending.delete(reply.cookieLow);
    if (error === null) pending.resolve(whole.subarray(SIMPLE_REPLY_BYTES, bytes));
    else pending.reject(new NetError('nbd-error', `NBD ${pending.what} failed: ${error}`));
    return true;
  }

  #pendingFor(reply: NbdSimpleReply): Pending {
    const pending = this.#pending.get(reply.cookieLow);
    if (pending !== undefined && reply.cookieHigh === 0) return pending;
    throw new NetError('nbd-closed', `NBD reply to a request that was never sent: ${reply.cookieLow}`);
  }

  /** Everything unparsed in one buffer, of which at least `bytes` are there. */
  #peek(bytes: number): Buffer {
    const [first] = this.#unparsed;
    if (first !== undefined && first.length >= bytes) return first;
    const whole = Buffer.concat(this.#unparsed);
    this.#unparsed = [whole];
    return whole;
  }

  #end(): void {
    this.#ended = true;
    this.#unparsed = [];
    this.#unparsedBytes = 0;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { what, reject } of pending) reject(closedError(what));
  }
}

function closedError(what: string): NetError {
  return new NetError('nbd-closed', `NBD connection ended before the ${what} was answered; connect again`);
}

const COMMAND_NAMES: ReadonlyMap<number, string> = new Map([
  [NbdCommand.READ, 'read'],
  [NbdCommand.WRITE, 'write'],
  [NbdCommand.FLUSH, 'flush'],
  [NbdCommand.TRIM, 'trim'],
  [NbdCommand.WRITE_ZEROES, 'write of zeros'],
]);

function commandName(type: number): string {
  return COMMAND_NAMES.get(type) ?? `command ${type}`;
}
