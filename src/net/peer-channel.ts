/**
 * Authenticated messages between the two daemons over TCP, on every network that both share: this
 * node listens, and keeps one connection to each address of the other. Says who was heard, what the
 * peer proved to have heard of us, and when the peer is certainly dead.
 * @see SAFETY "Words", A4, B6, E3
 */
import { TLSSocket } from 'node:tls';
import type { Socket } from 'node:net';
import { faultWords } from '../model/certificates.ts';
import type { CertificateFault } from '../model/certificates.ts';
import { ConfigError, NetError, WireError, describeError } from '../model/errors.ts';
import type { PeerAddress } from '../model/settings.ts';
import type { PeerHeartbeat, PeerHello, PeerMethod } from '../protocol/peer-message.ts';
import { PeerConnection } from './peer-channel-connection.ts';
import type { AcceptedMessage, ConnectionListener, Ending } from './peer-channel-connection.ts';
import { DeathWatch } from './peer-channel-death.ts';
import { PeerDialer } from './peer-channel-dialer.ts';
import { PeerListener } from './peer-channel-listener.ts';
import { Refusals } from './peer-channel-refusals.ts';
import { PeerRequests } from './peer-channel-requests.ts';
import { CertificateTrust } from './peer-channel-certificates.ts';
import { SecretTrust } from './peer-channel-security.ts';
import type { PeerCredentials, PeerTrust } from './peer-channel-trust.ts';
import type {
  PeerChannel,
  PeerChannelOptions,
  PeerChannelStatus,
  PeerRequestHandler,
} from './peer-channel-types.ts';

/** Silent for this many heartbeats, and at least this long: the network under it is gone, dial again. */
const SILENT_HEARTBEATS = 10;
const SILENT_MS = 1_000;
const INCOMING_LIMIT = 16;
const CLOSE_MS = 1_000;

/** @throws ConfigError `secret-missing`, `certificates-unusable`, and as splitSecrets() */
export function createPeerChannel(options: PeerChannelOptions): PeerChannel {
  return new TcpPeerChannel(options);
}

class TcpPeerChannel implements PeerChannel, ConnectionListener {
  readonly #options: PeerChannelOptions;
  readonly #hello: PeerHello;
  readonly #refusals: Refusals;
  readonly #requests = new PeerRequests();
  readonly #death = new DeathWatch();
  readonly #listeners: readonly PeerListener[];
  readonly #dialers: readonly PeerDialer[];
  /** Authenticated, of the peer's current boot. */
  readonly #connections = new Set<PeerConnection>();
  /** The boot of the peer that each of its addresses last accepted us in. */
  readonly #acceptedIn = new Map<PeerAddress, string>();
  /** Null: plaintext. */
  readonly #trust: PeerTrust | null;
  #boot: string | null = null;
  #saidGoodbye = false;
  #latestSentAt: number | null = null;
  #aliveAt = -Infinity;
  #seq = 0;
  #heartbeat: NodeJS.Timeout | null = null;
  #complained = false;
  #closed = false;

  constructor(options: PeerChannelOptions) {
    const { self, peer, log, clock } = options;
    const trust = trustOf(options);
    this.#trust = trust;
    this.#options = options;
    this.#hello = {
      type: 'hello',
      node: self,
      boot: options.boot,
      version: options.version ?? '',
      timing: options.timing ?? '',
    };
    this.#refusals = new Refusals(peer, log, clock);
    const refuse = this.#refusals.count.bind(this.#refusals);
    this.#listeners = options.listen.map(
      (address) =>
        new PeerListener({
          trust,
          address,
          log,
          refuse,
          onSocket: (socket) => this.#meet(socket, null),
        }),
    );
    this.#dialers = options.addresses.map(
      (address) =>
        new PeerDialer({
          trust,
          address,
          refuse,
          onSocket: (socket) => this.#meet(socket, address),
          onAttempt: () => this.#death.attempt(),
          onRefused: (attempt) => this.#hostRefused(attempt, address),
        }),
    );
  }

  async start(): Promise<void> {
    try {
      await Promise.all(this.#listeners.map((listener) => listener.start()));
    } catch (error) {
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
    if (this.#closed) return;
    this.#heartbeat = setInterval(() => this.#beat(), this.#options.heartbeatMs);
    for (const dialer of this.#dialers) dialer.start();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    const open = [...this.#connections];
    const sockets = new Set(open.map(({ socket }) => socket));
    for (const dialer of this.#dialers) dialer.close((socket) => sockets.has(socket));
    for (const listener of this.#listeners) listener.close();
    const ends = open.map((connection) => {
      this.#requests.lost(connection, 'this node stops');
      connection.send({ type: 'goodbye' });
      connection.finish('this node stops');
      return new Promise((resolve) => connection.socket.once('close', resolve));
    });
    const late = setTimeout(() => {
      for (const { socket } of open) socket.destroy();
    }, CLOSE_MS);
    await Promise.all(ends);
    clearTimeout(late);
    this.#connections.clear();
  }

  request(
    method: PeerMethod,
    params: Readonly<Record<string, unknown>>,
    timeoutMs: number,
  ): Promise<unknown> {
    const connections = [...this.#connections];
    if (connections.length > 0 && !this.#closed)
      return this.#requests.send(connections, method, params, timeoutMs);
    const text = `\`${method}\` was not sent: there is no connection to ${this.#options.peer}`;
    return Promise.reject(new NetError('peer-not-connected', text));
  }

  rekey(credentials: PeerCredentials): void {
    this.#trust?.rekey(credentials);
    for (const listener of this.#listeners) listener.rekeyed();
  }

  onRequest(handler: PeerRequestHandler): void {
    this.#requests.setHandler(handler);
  }

  status(): PeerChannelStatus {
    const [first] = this.#connections;
    return {
      up: first !== undefined,
      connections: this.#connections.size,
      boot: this.#boot,
      security: first === undefined ? null : securityOf(first.socket),
      refused: this.#refusals.totals(),
    };
  }

  hello(connection: PeerConnection, hello: PeerHello): boolean {
    if (this.#closed) return false;
    const { peer, self, callbacks } = this.#options;
    if (hello.node !== peer) {
      this.#refusals.count(hello.node === self ? 'own-address' : 'wrong-node', whoIs(connection));
      return false;
    }
    const wasDown = this.#connections.size === 0;
    if (hello.boot !== this.#boot) this.#newLife(hello);
    this.#connections.add(connection);
    if (connection.address !== null) this.#acceptedIn.set(connection.address, hello.boot);
    this.#makeRoom();
    for (const end of [...this.#listeners, ...this.#dialers]) end.authenticated(connection.socket);
    if (wasDown) {
      this.#options.log('info', `peer channel: ${peer} is connected (${securityOf(connection.socket)})`);
      callbacks.onUp?.();
      // It answers now, and only where it has answered its refusal will say something.
      if (connection.direction === 'in') for (const dialer of this.#dialers) dialer.hurry();
    }
    this.#heard(connection, null);
    if (connection.direction === 'out') this.#sendHeartbeat(connection);
    return true;
  }

  message(connection: PeerConnection, message: AcceptedMessage): void {
    if (this.#closed || !this.#connections.has(connection)) return;
    this.#heard(connection, message.type === 'heartbeat' ? message : null);
    switch (message.type) {
      case 'heartbeat':
        if (connection.direction === 'in') this.#sendHeartbeat(connection);
        else for (const dialer of this.#dialers) dialer.proven(connection.socket);
        return;
      case 'request':
        void this.#requests.answer(connection, message);
        return;
      case 'reply':
        this.#requests.reply(connection, message);
        return;
      case 'goodbye':
        if (this.#saidGoodbye) return;
        this.#saidGoodbye = true;
        this.#options.callbacks.onGoodbye?.(this.#options.clock.now());
    }
  }

  refused(connection: PeerConnection, fault: CertificateFault): void {
    this.#refusals.count('own-certificate', whoIs(connection), faultWords(fault));
  }

  garbage(connection: PeerConnection, error: unknown): void {
    const speaksTls = error instanceof WireError && error.code === 'peer-speaks-tls';
    this.#refusals.count(speaksTls ? 'speaks-tls' : 'garbage', whoIs(connection));
    this.#options.log('debug', `peer channel: ${describeError(error)}`);
  }

  ended(connection: PeerConnection, ending: Ending): void {
    if (!this.#connections.delete(connection)) return;
    this.#requests.lost(connection, ending.reason);
    if (this.#closed || this.#connections.size > 0) return;
    const armed = this.#death.lastEnded(this.#options.clock.now(), ending.byPeer, this.#saidGoodbye);
    this.#options.log(
      'warn',
      `peer channel: the connection to ${this.#options.peer} is lost: ${ending.reason}`,
    );
    this.#options.callbacks.onDown?.(ending.reason);
    if (armed) for (const dialer of this.#dialers) dialer.hurry();
  }

  #meet(socket: Socket, address: PeerAddress | null): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    new PeerConnection(socket, address, this.#hello, this);
  }

  /** Another life of the peer: nothing of the last one counts any more. */
  #newLife(hello: PeerHello): void {
    const { peer, timing, log, callbacks } = this.#options;
    this.#boot = hello.boot;
    this.#requests.forgetPeer();
    this.#saidGoodbye = false;
    this.#latestSentAt = null;
    for (const old of this.#connections) {
      this.#connections.delete(old);
      this.#requests.lost(old, 'the peer was restarted');
      old.drop('the peer was restarted');
    }
    if (timing !== undefined && hello.timing !== '' && hello.timing !== timing) {
      log(
        'warn',
        `peer channel: the times of ${peer} differ from ours: copy hastate.yaml to both nodes and restart both`,
      );
    }
    callbacks.onBoot?.(hello.boot);
  }

  #heard(connection: PeerConnection, heartbeat: PeerHeartbeat | null): void {
    const { clock, callbacks, boot } = this.#options;
    const now = clock.now();
    connection.heardAt = now;
    this.#death.heard();
    callbacks.onHeard?.(now, heartbeat);
    if (heartbeat === null) return;
    this.#latestSentAt = Math.max(this.#latestSentAt ?? -Infinity, heartbeat.sentAt);
    const { echo } = heartbeat;
    if (echo?.boot !== boot || echo.at > now || echo.at <= this.#aliveAt) return;
    this.#aliveAt = echo.at;
    callbacks.onAlive?.(echo.at);
  }

  #sendHeartbeat(connection: PeerConnection): void {
    const echo =
      this.#boot === null || this.#latestSentAt === null
        ? null
        : { boot: this.#boot, at: this.#latestSentAt };
    const { clock } = this.#options;
    this.#seq += 1;
    try {
      connection.send({
        type: 'heartbeat',
        seq: this.#seq,
        sentAt: clock.now(),
        echo,
        ...this.#options.composeHeartbeat(),
      });
      this.#complained = false;
    } catch (error) {
      if (!this.#complained)
        this.#options.log('error', `peer channel: no heartbeat: ${describeError(error)}`);
      this.#complained = true;
    }
  }

  #beat(): void {
    for (const connection of this.#connections) {
      if (connection.direction === 'out') this.#sendHeartbeat(connection);
    }
    // What arrived while this process was held up is read first, then silence is judged.
    if (this.#silent().length > 0) {
      setImmediate(() => {
        for (const connection of this.#silent()) connection.drop('nothing was heard on it');
      });
    }
  }

  #silent(): PeerConnection[] {
    const limit = Math.max(SILENT_MS, SILENT_HEARTBEATS * this.#options.heartbeatMs);
    const now = this.#options.clock.now();
    return [...this.#connections].filter((connection) => now - connection.heardAt > limit);
  }

  #makeRoom(): void {
    const incoming = [...this.#connections].filter(({ direction }) => direction === 'in');
    if (incoming.length > INCOMING_LIMIT) incoming[0]?.drop('a newer connection took its place');
  }

  #hostRefused(attempt: number, address: PeerAddress): void {
    // An address at which this life of the peer never answered says nothing by refusing.
    if (this.#boot === null || this.#acceptedIn.get(address) !== this.#boot) return;
    const cutOffAt = this.#closed ? null : this.#death.refused(attempt);
    if (cutOffAt === null) return;
    this.#options.log(
      'warn',
      `peer channel: ${this.#options.peer} is dead: it was cut off and its host refuses a new connection`,
    );
    this.#options.callbacks.onCertainDeath?.(cutOffAt);
  }
}

/** SAFETY E3: null, plaintext, is chosen and never fallen into. */
function trustOf({ secret, certificates, insecure, self, peer }: PeerChannelOptions): PeerTrust | null {
  if (certificates != null) return new CertificateTrust(certificates, self, peer);
  if (secret !== null) return new SecretTrust(secret, self, peer);
  if (insecure) return null;
  throw new ConfigError(
    'secret-missing',
    'the peer channel has no secret: name a `secret-file` or `tls` in hastate.yaml, the same on both nodes',
  );
}

function whoIs({ direction, socket }: PeerConnection): string {
  return `${direction === 'in' ? 'from' : 'to'} ${socket.remoteAddress ?? '?'}`;
}

function securityOf(socket: Socket): string {
  if (!(socket instanceof TLSSocket)) return 'plaintext';
  return `${socket.getProtocol() ?? '?'} ${socket.getCipher().name}`;
}
