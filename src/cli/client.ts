/** Asks a daemon over its control socket. @see src/protocol/control.ts */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { HastateError } from '../model/errors.ts';
import type { ControlCommand, ControlReply, JournalEvent } from '../protocol/control.ts';

/** The daemon cannot be reached, or refused. `code` is its own, or `control-...` of the connection. */
export class ControlError extends HastateError {}

export interface ControlClient {
  /**
   * Sends one request on a connection of its own and waits for its answer, at most `timeoutMs`.
   * @throws ControlError `control-unreachable`, `control-lost`, `control-timeout`, or the daemon's code
   */
  request(
    command: ControlCommand,
    args?: Readonly<Record<string, unknown>>,
    timeoutMs?: number,
  ): Promise<unknown>;
  /**
   * The journal: what is known, then, with `follow`, what happens until the daemon ends or the signal aborts.
   * @throws ControlError as `request`
   */
  follow(
    args: { readonly follow: boolean },
    onEvent: (event: JournalEvent) => void,
    signal?: AbortSignal,
  ): Promise<void>;
}

const REQUEST_MS = 10_000;
const CONNECT_MS = 5000;
const MAX_REPLY_BYTES = 16 * 1024 * 1024;

/** Nothing is opened until something is asked. */
export function controlClient(path: string): ControlClient {
  return {
    request: (command, args = {}, timeoutMs = REQUEST_MS) =>
      exchange(path, command, args, { timeoutMs, signal: undefined, onEvent: () => undefined }),
    async follow(args, onEvent, signal) {
      const timeoutMs = args.follow ? null : REQUEST_MS;
      await exchange(path, 'events', { ...args }, { timeoutMs, signal, onEvent });
    },
  };
}

interface Exchange {
  readonly timeoutMs: number | null;
  readonly signal: AbortSignal | undefined;
  readonly onEvent: (event: JournalEvent) => void;
}

function exchange(
  path: string,
  command: ControlCommand,
  args: Readonly<Record<string, unknown>>,
  { timeoutMs, signal, onEvent }: Exchange,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    let timer = setTimeout(
      () => fail('control-timeout', `no connection to ${path} in ${CONNECT_MS} ms; is the daemon stuck?`),
      CONNECT_MS,
    );
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.destroy();
    };
    const fail = (code: string, message: string, cause?: unknown): void => {
      done();
      reject(new ControlError(code, message, { cause }));
    };
    const aborted = (): void => {
      done();
      resolve(null);
    };
    signal?.addEventListener('abort', aborted, { once: true });
    if (signal?.aborted === true) aborted();

    let connected = false;
    socket.once('connect', () => {
      connected = true;
      clearTimeout(timer);
      if (timeoutMs !== null) {
        timer = setTimeout(
          () =>
            fail(
              'control-timeout',
              `the daemon did not answer '${command}' in ${timeoutMs} ms; ask 'hastate events'`,
            ),
          timeoutMs,
        );
      }
      socket.write(`${JSON.stringify({ id: 1, command, args })}\n`);
    });
    socket.once('error', (cause) => {
      if (connected)
        fail(
          'control-lost',
          `the daemon at ${path} broke the connection: ${cause.message}; see its log`,
          cause,
        );
      else fail('control-unreachable', unreachable(path, cause), cause);
    });
    socket.once('close', () =>
      fail(
        'control-lost',
        `the daemon at ${path} ended the connection; see its log. A stock hastd knows only status, list and role`,
      ),
    );
    readLines(socket, (line) => {
      const reply = readReply(line);
      if (reply === null)
        fail('control-reply', `${path} answered with something else than a reply; is it a hastate daemon?`);
      else if ('event' in reply) onEvent(reply.event);
      else if (reply.ok) {
        done();
        resolve(reply.result);
      } else fail(reply.error.code, reply.error.message);
    });
  });
}

export function unreachable(path: string, cause: Error): string {
  const code = 'code' in cause ? cause.code : '';
  if (code === 'EACCES' || code === 'EPERM')
    return `no permission for control socket ${path}; run as root or as the daemon's user`;
  if (code === 'ENOENT')
    return `there is no control socket ${path}; is hastated running, and is '-c' its hast.conf?`;
  if (code === 'ECONNREFUSED') return `nobody answers on control socket ${path}; start hastated`;
  return `cannot connect to control socket ${path}: ${cause.message}; is hastated running?`;
}

/** Calls back for each line; a line without end over 16 MiB ends the connection. */
function readLines(socket: Socket, onLine: (line: string) => void): void {
  let parts: Buffer[] = [];
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0 && !socket.destroyed; end = chunk.indexOf(0x0a, start)) {
      parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      bytes = 0;
      start = end + 1;
      onLine(line);
    }
    parts.push(chunk.subarray(start));
    bytes += chunk.length - start;
    if (bytes > MAX_REPLY_BYTES) socket.destroy();
  });
}

function readReply(line: string): ControlReply | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null) return null;
    if (!('event' in value) && !('ok' in value)) return null;
    // The daemon is of our own version family; what it sends is the shared type.
    return value as ControlReply;
  } catch {
    return null;
  }
}
