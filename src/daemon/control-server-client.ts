/** One client of the control socket: hastctl with a frame, or ours with lines. */
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { HALF_SAID_MS } from '../device/newcomers.ts';
import { describeError, HastateError } from '../model/errors.ts';
import { decodeControlRequest } from '../protocol/control-request.ts';
import type { ControlCommand, ControlReply, ControlRequest, JournalEvent } from '../protocol/control.ts';

export interface ControlGate {
  /** Its first request is whole. @returns why it cannot be served, or null */
  introduced(): string | null;
}

export interface ControlHandlers {
  /** The result of a request; `push` sends an event line to a follower. Aborted when the client is gone. */
  handle(
    request: ControlRequest,
    client: { signal: AbortSignal; push: (event: JournalEvent) => void },
  ): Promise<unknown>;
  /** The reply to one frame of hastctl, header included. */
  handleHastctl?(frame: Buffer): Promise<Buffer>;
  /** For the rest of a request that began. ms */
  readonly patienceMs?: number;
}

const MAX_REQUEST_BYTES = 64 * 1024;
/** Unsent replies and events of one client. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const MAX_PENDING = 16;
const IDLE_MS = 60_000;
const FAREWELL_MS = 5000;
const LATE = 'the rest of a request did not come in time; send it whole';
const FRAME_HEADER_BYTES = 5;
const HIGHEST_VERSION = 2;
const OPEN_BRACE = 0x7b;
const NEWLINE = 0x0a;

/** Complete by type: a command that is added to the protocol is missing here until it is taken in. */
const COMMANDS: Readonly<Record<ControlCommand, true>> = {
  status: true,
  role: true,
  groups: true,
  switchover: true,
  promote: true,
  fence: true,
  standby: true,
  maintenance: true,
  resolve: true,
  verify: true,
  'why-not': true,
  events: true,
  reload: true,
  stop: true,
};

/** Owns its socket until that closes. */
export class ControlClient {
  private readonly socket: Socket;
  private readonly handlers: ControlHandlers;
  private readonly gate: ControlGate;
  private known = false;
  /** Ends a client whose request began and does not end. */
  private late: NodeJS.Timeout | undefined;
  private readonly gone = new AbortController();
  /** The client asks nothing more: it may still read answers, but follows no longer. */
  private readonly ended = new AbortController();
  private buffered: Buffer = Buffer.alloc(0);
  private kind: 'unknown' | 'hastctl' | 'lines' = 'unknown';
  private pending = 0;
  private leaving = false;

  constructor(socket: Socket, handlers: ControlHandlers, gate: ControlGate) {
    this.socket = socket;
    this.gate = gate;
    this.handlers = handlers;
    setMaxListeners(MAX_PENDING * 4, this.gone.signal, this.ended.signal);
    socket.on('data', (chunk) => this.take(chunk));
    // A vanished client is no event of ours: 'close' follows.
    socket.on('error', () => undefined);
    socket.on('close', () => this.abort());
    socket.on('end', () => {
      this.ended.abort();
      if (this.pending === 0) socket.end();
    });
    socket.setTimeout(IDLE_MS, () => {
      if (this.pending === 0) socket.destroy();
    });
  }

  private take(chunk: Buffer): void {
    if (this.leaving) return;
    this.buffered = this.buffered.length === 0 ? chunk : Buffer.concat([this.buffered, chunk]);
    if (this.kind === 'unknown') {
      const first = this.buffered[0] ?? 0;
      if (first !== OPEN_BRACE && first > HIGHEST_VERSION) {
        this.leave(
          0,
          'bad-request',
          `a request starts with '{' or is a frame of hastctl; this starts with byte ${first}`,
        );
        return;
      }
      this.kind = first === OPEN_BRACE ? 'lines' : 'hastctl';
    }
    if (this.kind === 'hastctl') this.takeFrame();
    else this.takeLines();
    this.waitForRest();
  }

  /** Of a request that began little may be missing, and not for long. */
  private waitForRest(): void {
    if (this.buffered.length === 0 || this.leaving || !this.known) {
      clearTimeout(this.late);
      this.late = undefined;
      return;
    }
    const patience = this.handlers.patienceMs ?? HALF_SAID_MS;
    this.late ??= setTimeout(() => this.leave(0, 'request-late', LATE), patience);
  }

  private introduce(): boolean {
    if (this.known) return true;
    const refusal = this.gate.introduced();
    this.known = refusal === null;
    if (refusal !== null) this.leave(0, 'too-many-clients', refusal);
    return this.known;
  }

  private takeFrame(): void {
    const { buffered, handlers, socket } = this;
    if (buffered.length < FRAME_HEADER_BYTES) return;
    const length = FRAME_HEADER_BYTES + buffered.readUInt32LE(1);
    if (length > MAX_REQUEST_BYTES || handlers.handleHastctl === undefined) {
      socket.destroy();
      return;
    }
    if (buffered.length < length) return;
    if (!this.introduce()) return;
    // hastctl asks once for each connection; what follows the frame is nobody's.
    this.leaving = true;
    this.pending++;
    handlers.handleHastctl(buffered.subarray(0, length)).then(
      (reply) => this.farewell(reply),
      () => socket.destroy(),
    );
  }

  private takeLines(): void {
    for (;;) {
      const end = this.buffered.indexOf(NEWLINE);
      if ((end < 0 ? this.buffered.length : end) > MAX_REQUEST_BYTES) {
        this.leave(
          0,
          'request-too-long',
          `a request has more than ${MAX_REQUEST_BYTES} bytes; send less at once`,
        );
        return;
      }
      if (end < 0 || this.leaving) return;
      const line = this.buffered.toString('utf8', 0, end);
      this.buffered = this.buffered.subarray(end + 1);
      if (!this.introduce()) return;
      this.request(line);
    }
  }

  private request(line: string): void {
    let request: ControlRequest;
    try {
      request = decodeControlRequest(line);
    } catch (error) {
      this.leave(0, 'bad-request', describeError(error));
      return;
    }
    const { id, command } = request;
    if (!Object.hasOwn(COMMANDS, command)) {
      this.refuse(
        id,
        'unknown-command',
        `this daemon knows no command '${command}'; is it as new as the command line?`,
      );
      return;
    }
    if (this.pending >= MAX_PENDING) {
      this.refuse(id, 'too-many-requests', `${MAX_PENDING} requests are still unanswered; wait for one`);
      return;
    }
    this.pending++;
    void this.answer(request).finally(() => {
      this.pending--;
      if (this.pending === 0 && this.ended.signal.aborted) this.socket.end();
    });
  }

  private async answer(request: ControlRequest): Promise<void> {
    const { id, command } = request;
    const { signal } = command === 'events' ? this.ended : this.gone;
    const push = (event: JournalEvent): void => this.send({ id, event });
    try {
      const result = await this.handlers.handle(request, { signal, push });
      this.send({ id, ok: true, result: result ?? null });
    } catch (error) {
      const code = error instanceof HastateError ? error.code : 'internal';
      this.refuse(id, code, describeError(error));
    }
  }

  private refuse(id: number, code: string, message: string): void {
    this.send({ id, ok: false, error: { code, message } });
  }

  private send(reply: ControlReply): void {
    if (this.leaving || this.socket.destroyed) return;
    if (this.socket.writableLength > MAX_UNSENT_BYTES) {
      const message = `dropped: ${this.socket.writableLength} bytes were waiting to be read; follow again and read faster`;
      this.leave(reply.id, 'too-slow', message);
      return;
    }
    this.socket.write(`${JSON.stringify(reply)}\n`);
  }

  /** Says why, then closes; a client that does not read is not waited for. */
  leave(id: number, code: string, message: string): void {
    if (this.leaving) return;
    this.leaving = true;
    const reply: ControlReply = { id, ok: false, error: { code, message } };
    this.farewell(`${JSON.stringify(reply)}\n`);
    this.abort();
  }

  /** The last words to a client; one that does not read is not waited for. */
  private farewell(words: string | Buffer): void {
    this.socket.end(words, () => this.socket.destroy());
    const timer = setTimeout(() => this.socket.destroy(), FAREWELL_MS);
    this.socket.once('close', () => clearTimeout(timer));
  }

  private abort(): void {
    clearTimeout(this.late);
    this.ended.abort();
    this.gone.abort();
  }

  /** Ends the connection at once. */
  close(): void {
    this.leaving = true;
    this.socket.destroySoon();
    const timer = setTimeout(() => this.socket.destroy(), FAREWELL_MS).unref();
    this.socket.once('close', () => clearTimeout(timer));
  }
}
