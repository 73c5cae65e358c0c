/**
 * Keeps one outgoing connection to one address of the peer: tries again at once after a working
 * connection was lost, then after 50 ms, doubling to 500 ms.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { PeerAddress } from '../model/settings.ts';
import { AUTHENTICATION_MS } from './peer-channel-listener.ts';
import { dismiss } from './peer-channel-trust.ts';
import type { PeerTrust } from './peer-channel-trust.ts';
import type { RefusalCause } from './peer-channel-types.ts';

/** For the TCP handshake: on the networks this is for it takes a millisecond. */
const CONNECT_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;

export interface DialerOptions {
  /** Asked for each connection. Null: plaintext. */
  readonly trust: PeerTrust | null;
  readonly address: PeerAddress;
  readonly refuse: (cause: RefusalCause, who: string) => void;
  /** It is the peer (or nobody can know); a hello must follow. */
  readonly onSocket: (socket: Socket) => void;
  /** A new attempt begins; what it returns is given to onRefused. */
  readonly onAttempt: () => number;
  /** The host refused the attempt: nothing listens there. */
  readonly onRefused: (attempt: number) => void;
}

export class PeerDialer {
  readonly #options: DialerOptions;
  readonly #who: string;
  #socket: Socket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = 0;
  #hurried = false;
  #closed = false;

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#who = `to ${options.address.host}:${options.address.port}`;
  }

  start(): void {
    // The peer may have come first.
    if (this.#socket === null) this.hurry();
  }

  /** The hello was accepted. */
  authenticated(socket: Socket): void {
    if (socket === this.#socket) this.#stopTimer();
  }

  /** It carried a heartbeat: when it is lost, the next attempt follows at once. */
  proven(socket: Socket): void {
    if (socket === this.#socket) this.#pauseMs = 0;
  }

  /** Ends the pause between two attempts; when one is under way, the next follows it without a pause. */
  hurry(): void {
    if (this.#closed) return;
    if (this.#socket !== null) {
      this.#hurried = true;
      return;
    }
    this.#stopTimer();
    this.#dial();
  }

  /** Stops trying. An authenticated socket belongs to the channel and is left alone. */
  close(authenticated: (socket: Socket) => boolean): void {
    this.#closed = true;
    this.#stopTimer();
    if (this.#socket !== null && !authenticated(this.#socket)) this.#socket.destroy();
  }

  #dial(): void {
    const attempt = this.#options.onAttempt();
    const { address, trust } = this.#options;
    const where = { host: address.host, port: address.port };
    const secured = trust === null ? null : { trust, socket: connectTls({ ...where, ...trust.client() }) };
    const socket = secured?.socket ?? connect(where);
    this.#socket = socket;
    let connected = false;
    let failure: NodeJS.ErrnoException | null = null;
    this.#timer = setTimeout(() => socket.destroy(), CONNECT_MS);
    socket.once('connect', () => {
      connected = true;
      this.#stopTimer();
      this.#timer = setTimeout(() => {
        this.#options.refuse('too-slow', this.#who);
        socket.destroy();
      }, AUTHENTICATION_MS);
    });
    socket.once(secured === null ? 'connect' : 'secureConnect', () => {
      const fault = secured?.trust.faultOf(secured.socket, 'client') ?? null;
      if (fault === null || secured === null) {
        this.#options.onSocket(socket);
        return;
      }
      this.#options.refuse(fault.cause, this.#who);
      dismiss(secured.socket, fault.tell);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (failure ??= error));
    socket.once('close', () => {
      this.#socket = null;
      this.#stopTimer();
      if (this.#closed) return;
      if (!connected && failure?.code === 'ECONNREFUSED') this.#options.onRefused(attempt);
      const cause = trust?.causeOf(failure) ?? null;
      if (cause !== null) this.#options.refuse(cause, this.#who);
      this.#dialLater();
    });
  }

  #dialLater(): void {
    this.#timer = setTimeout(() => this.#dial(), this.#hurried ? 0 : this.#pauseMs);
    this.#hurried = false;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
