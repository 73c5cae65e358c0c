/**
 * The listening side: accepts, lets TLS check the key, and hands the socket on. At most eight
 * connections may be unauthenticated, each for at most five seconds; a ninth displaces the oldest,
 * so that whoever holds connections open cannot keep the peer out.
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer } from 'node:tls';
import { NetError } from '../model/errors.ts';
import type { PeerAddress } from '../model/settings.ts';
import { dismiss } from './peer-channel-trust.ts';
import type { PeerTrust } from './peer-channel-trust.ts';
import type { PeerLog, RefusalCause } from './peer-channel-types.ts';

export const UNAUTHENTICATED_LIMIT = 8;
export const AUTHENTICATION_MS = 5_000;
const LISTEN_AGAIN_MS = 1_000;

export interface ListenerOptions {
  /** Null: plaintext. */
  readonly trust: PeerTrust | null;
  readonly address: PeerAddress;
  readonly log: PeerLog;
  readonly refuse: (cause: RefusalCause, who: string) => void;
  /** It is the peer (or nobody can know); a hello must follow. Call authenticated() then. */
  readonly onSocket: (socket: Socket) => void;
}

interface Waiting {
  readonly socket: Socket;
  readonly timer: NodeJS.Timeout;
}

export class PeerListener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #waiting = new Map<string, Waiting>();
  readonly #refused = new WeakSet<Socket>();
  #renew: () => void = () => undefined;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { trust } = options;
    if (trust === null) {
      this.#server = createServer((socket) => this.#options.onSocket(socket));
    } else {
      const server = this.#tlsServer(trust);
      this.#server = server;
      this.#renew = () => server.setSecureContext(trust.context());
    }
    this.#server.prependListener('connection', (socket) => this.#admit(socket));
  }

  /** @throws NetError `peer-listen`, except for an address that this machine does not have yet */
  async start(): Promise<void> {
    const { host, port } = this.#options.address;
    const error = await this.#listen();
    if (error === null || this.#closed) return;
    if (error.code !== 'EADDRNOTAVAIL') {
      const remedy =
        error.code === 'EADDRINUSE'
          ? "another program uses it; end it, or change this node's `peer` under `nodes:`"
          : 'check the address under `nodes:`';
      throw new NetError(
        'peer-listen',
        `cannot listen for the peer on ${host}:${port} (${error.code ?? error.message}): ${remedy}`,
        {
          cause: error,
        },
      );
    }
    this.#options.log(
      'warn',
      `peer channel: ${host} is not an address of this machine yet; trying every second`,
    );
    this.#listenLater();
  }

  /** The trust was given other credentials. */
  rekeyed(): void {
    this.#renew();
  }

  /** The hello was accepted: its deadline is over. */
  authenticated(socket: Socket): void {
    const waiting = this.#waiting.get(keyOf(socket));
    clearTimeout(waiting?.timer);
    this.#waiting.delete(keyOf(socket));
  }

  /** Stops listening and ends what is not authenticated. Authenticated sockets belong to the channel. */
  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#server.listening) this.#server.close();
    for (const { socket } of this.#waiting.values()) socket.destroy();
  }

  #tlsServer(trust: PeerTrust): TlsServer {
    const options = trust.server((cause, socket) => {
      this.#refused.add(socket);
      this.#options.refuse(cause, `from ${socket.remoteAddress ?? '?'}`);
    });
    const server = createTlsServer({ ...options, handshakeTimeout: 2 * AUTHENTICATION_MS }, (socket) => {
      const fault = trust.faultOf(socket, 'server');
      if (fault === null && !this.#refused.has(socket)) {
        this.#options.onSocket(socket);
        return;
      }
      if (fault !== null && !this.#refused.has(socket))
        this.#options.refuse(fault.cause, `from ${socket.remoteAddress ?? '?'}`);
      dismiss(socket, fault?.tell ?? null);
    });
    server.on('tlsClientError', (error, socket) => {
      const cause = this.#refused.has(socket) ? null : trust.causeOf(error);
      if (cause !== null) this.#options.refuse(cause, `from ${socket.remoteAddress ?? '?'}`);
      socket.destroy();
    });
    return server;
  }

  #admit(socket: Socket): void {
    // Until TLS or the connection listens, a reset would be an unhandled error.
    socket.on('error', () => undefined);
    if (this.#waiting.size >= UNAUTHENTICATED_LIMIT) {
      const [oldest] = this.#waiting.values();
      this.#options.refuse('too-many', `from ${oldest?.socket.remoteAddress ?? '?'}`);
      if (oldest !== undefined) this.#forget(oldest);
      oldest?.socket.destroy();
    }
    const timer = setTimeout(() => {
      this.#options.refuse('too-slow', `from ${socket.remoteAddress ?? '?'}`);
      socket.destroy();
    }, AUTHENTICATION_MS);
    const waiting = { socket, timer };
    this.#waiting.set(keyOf(socket), waiting);
    socket.once('close', () => this.#forget(waiting));
  }

  #forget(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    for (const [key, value] of this.#waiting) if (value === waiting) this.#waiting.delete(key);
  }

  #listen(): Promise<NodeJS.ErrnoException | null> {
    return new Promise((resolve) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        this.#server.off('listening', listening);
        resolve(error);
      };
      const listening = (): void => {
        this.#server.off('error', failed);
        if (this.#closed) this.#server.close();
        this.#server.on('error', (error) => this.#options.log('error', `peer channel: ${error.message}`));
        resolve(null);
      };
      this.#server.once('error', failed).once('listening', listening);
      this.#server.listen(this.#options.address.port, this.#options.address.host);
    });
  }

  #listenLater(): void {
    this.#retry = setTimeout(() => {
      void this.#listen().then((error) => {
        if (error !== null && !this.#closed) this.#listenLater();
      });
    }, LISTEN_AGAIN_MS);
  }
}

/** The same for a TCP socket and for the TLS socket on top of it. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? '?'} ${socket.remotePort ?? '?'}`;
}
