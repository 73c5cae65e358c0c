/**
 * Offers a primary's disk to ggatec, for one epoch: pairs the two connections of each client by their token.
 * On the loopback address only, unless told otherwise: nothing here is authenticated or encrypted; what keeps
 * other users of this machine out is the random id of the epoch in the path.
 * @see hast.md section 11, SAFETY D3
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { BlockDevice } from '../model/block-device.ts';
import { DiskError, WireError } from '../model/errors.ts';
import type { Epoch } from '../model/record.ts';
import { GgateFlag, type GgateClientInit } from '../protocol/ggate.ts';
import { HALF_SAID_MS, Newcomers } from './newcomers.ts';
import { GgateHandshake } from './ggate-handshake.ts';
import { GgateSession } from './ggate-session.ts';

/** As ggated: a connection whose other half does not come. */
const PAIR_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 64;
/** The device may lower pendingBytes without calling anybody back. */
const RELIEF_CHECK_MS = 50;

export interface GgateServerOptions {
  readonly exportName: string;
  readonly device: BlockDevice;
  readonly epoch: Epoch;
  /** Default 127.0.0.1; ggatec knows IPv4 only. */
  readonly host?: string;
  /** Default: any free one. */
  readonly port?: number;
  readonly pairTimeoutMs?: number;
  /** For what a client is to say first. ms */
  readonly patienceMs?: number;
  /** A client sent garbage, or asked for what is not here, and was closed. */
  readonly onRefusal?: (why: string) => void;
}

export interface GgateServer {
  readonly host: string;
  readonly port: number;
  /** Clients with both connections. */
  readonly clients: number;
  /** Ends every client at once. Idempotent. */
  close(): Promise<void>;
}

/** The half of a client that came first. */
interface Half {
  readonly client: GgateClientInit;
  readonly socket: Socket;
  readonly early: Buffer;
  readonly timer: NodeJS.Timeout;
}

/** @throws DiskError `ggate-listen` */
export async function createGgateServer(options: GgateServerOptions): Promise<GgateServer> {
  const pairs = new Pairs(options);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => pairs.accept(socket));
  const { host = '127.0.0.1', port = 0 } = options;
  const bound = await listen(server, host, port);
  const timer = setInterval(() => pairs.relieve(), RELIEF_CHECK_MS);
  timer.unref();
  let closing: Promise<void> | null = null;
  return {
    host,
    port: bound,
    get clients() {
      return pairs.clients;
    },
    close() {
      closing ??= new Promise((resolve) => {
        clearInterval(timer);
        pairs.close();
        server.close(() => resolve());
      });
      return closing;
    },
  };
}

class Pairs {
  readonly #options: GgateServerOptions;
  readonly #sockets = new Set<Socket>();
  readonly #halves = new Map<number, Half>();
  readonly #sessions = new Set<GgateSession>();
  readonly #newcomers: Newcomers<Socket>;

  constructor(options: GgateServerOptions) {
    this.#options = options;
    this.#newcomers = new Newcomers({
      most: MAX_CONNECTIONS,
      patience: options.patienceMs ?? HALF_SAID_MS,
      dismiss: (socket, why) => {
        socket.destroy();
        options.onRefusal?.(why);
      },
    });
  }

  get clients(): number {
    return this.#sessions.size;
  }

  relieve(): void {
    for (const session of this.#sessions) session.resume();
  }

  close(): void {
    for (const half of this.#halves.values()) clearTimeout(half.timer);
    this.#halves.clear();
    for (const session of this.#sessions) session.end();
    for (const socket of this.#sockets) socket.destroy();
  }

  accept(socket: Socket): void {
    const { device, exportName, epoch } = this.#options;
    const { sizeBytes, sectorBytes } = device;
    const handshake = new GgateHandshake({ exportName, epoch, sizeBytes, sectorBytes });
    if (this.#sockets.size - this.#newcomers.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    this.#newcomers.enter(socket);
    // `close` follows every error and does what is needed.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#newcomers.leave(socket);
      this.#sockets.delete(socket);
    });
    let unparsed: Buffer = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      unparsed = Buffer.concat([unparsed, chunk]);
      try {
        for (let step = handshake.step(unparsed); step !== null; step = handshake.step(unparsed)) {
          unparsed = unparsed.subarray(step.consumed);
          const { outcome } = step;
          if (outcome === null) {
            socket.write(step.answer);
            continue;
          }
          if ('refusal' in outcome) {
            socket.end(step.answer);
            this.#options.onRefusal?.(outcome.refusal);
          } else {
            socket.write(step.answer);
            this.#pair(outcome.client, socket, unparsed);
          }
          socket.off('data', take);
          socket.off('end', left);
          return;
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        socket.destroy();
        this.#options.onRefusal?.(error.message);
      }
    };
    const left = (): void => {
      socket.destroy();
    };
    socket.on('data', take);
    socket.on('end', left);
  }

  #pair(client: GgateClientInit, socket: Socket, early: Buffer): void {
    this.#newcomers.leave(socket);
    socket.pause();
    const other = this.#halves.get(client.token);
    if (other !== undefined && other.client.flags !== client.flags && sameAccess(other.client, client)) {
      this.#forget(client.token, other);
      this.#start(client, { socket, early }, other);
      return;
    }
    // The same half again: the client began anew.
    if (other !== undefined) {
      this.#forget(client.token, other);
      other.socket.destroy();
    }
    const timer = setTimeout(() => {
      this.#options.onRefusal?.('only one of the two connections of a ggate client came');
      socket.destroy();
    }, this.#options.pairTimeoutMs ?? PAIR_TIMEOUT_MS);
    const half: Half = { client, socket, early, timer };
    this.#halves.set(client.token, half);
    socket.on('close', () => this.#forget(client.token, half));
  }

  #forget(token: number, half: Half): void {
    clearTimeout(half.timer);
    if (this.#halves.get(token) === half) this.#halves.delete(token);
  }

  #start(client: GgateClientInit, mine: { socket: Socket; early: Buffer }, other: Half): void {
    const receives = (client.flags & GgateFlag.RECV) !== 0;
    const [requests, answers] = receives ? [mine, other] : [other, mine];
    const writes = (client.flags & GgateFlag.READ_ONLY) === 0;
    // A client that came back sends its writes again. What the old connection still holds must not be
    // written behind newer writes of the same place.
    if (writes) for (const session of this.#sessions) if (session.writes) session.end();
    const session: GgateSession = new GgateSession({
      device: this.#options.device,
      flags: client.flags,
      requests: requests.socket,
      early: requests.early,
      answers: answers.socket,
      onEnd: () => this.#sessions.delete(session),
    });
    this.#sessions.add(session);
    // Of the half that waited nothing was heard meanwhile.
    if (requests.socket.destroyed || answers.socket.destroyed) session.end();
  }
}

function sameAccess(one: GgateClientInit, other: GgateClientInit): boolean {
  const access = GgateFlag.READ_ONLY | GgateFlag.WRITE_ONLY;
  return (one.flags & access) === (other.flags & access);
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void =>
      reject(new DiskError('ggate-listen', `cannot listen for ggatec on ${host}:${port}`, { cause }));
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      // An accept() that failed concerns one client, who notices.
      server.on('error', () => undefined);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
