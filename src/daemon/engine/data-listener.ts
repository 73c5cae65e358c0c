/**
 * Accepts the data link's connections in the main thread, finds out by the first frame which
 * resource each is for, and hands it to that resource's engine.
 * @see hast.md section 5
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { NetError } from '../../model/errors.ts';
import { encodeFrame, HAST_VERSION, refusesVersion } from '../../protocol/hast-message.ts';
import { ALERT, fatalAlert, TLS_HANDSHAKE } from '../../protocol/tls-record.ts';
import { FirstWordsReader } from './first-words.ts';
import type { FirstWords } from './first-words.ts';
import type { AcceptedConnection } from './hand-over.ts';
import { isAddressOf, parseHastAddress, plainIp } from './hast-address.ts';

/** As hastd's socket time-out while it accepts. */
const FIRST_FRAME_TIMEOUT_MS = 20_000;
const LOOKUP_TIMEOUT_MS = 5000;
const REFUSAL_LINGER_MS = 1000;
const MAX_PENDING = 64;
const BACKLOG = 128;
/** Who has no business here may say its first byte. */
const STRANGER_MS = 1000;
const MAX_STRANGERS = 16;
const NOT_CONFIGURED = {
  plain: 'Resource not configured.',
  tls: 'Resource not configured, or under other names of the two nodes.',
} as const;
/** What a kernel without the family says to `0.0.0.0` or `[::]`: hastd's default listens where it can. */
const NO_FAMILY: readonly (string | undefined)[] = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'];
const ANY: readonly string[] = ['0.0.0.0', '::'];

export interface ListenedResource {
  readonly name: string;
  /** As in hast.conf; null for `none`. */
  readonly remote: string | null;
  /** Of its keys for TLS, see nameOfWay(); absent: it is never asked for by TLS. */
  readonly way?: string | null;
  /** Must take the socket over before it returns. @see handOver */
  adopt(connection: AcceptedConnection): void;
}

export interface DataListenerOptions {
  /** Addresses as in hast.conf. */
  readonly listen: readonly string[];
  /** Asked for each connection, so that a reload is seen at once. */
  readonly resources: () => readonly ListenedResource[];
  readonly firstFrameTimeoutMs?: number;
  readonly maxPending?: number;
  /** A connection was turned away: for the log. */
  readonly onRefused?: (remoteAddress: string, reason: string) => void;
}

export interface DataListenerCounters {
  readonly accepted: number;
  readonly handedOver: number;
  /** Not the `remote` of any resource. */
  readonly strangers: number;
  readonly refused: number;
  /** Closed because too many had not said yet what they want. */
  readonly overflow: number;
}

export class DataListener {
  readonly #options: DataListenerOptions;
  /** By address as in hast.conf. */
  readonly #servers = new Map<string, Server>();
  #listen: readonly string[];
  readonly #pending = new Set<Socket>();
  readonly #strangers = new Set<Socket>();
  readonly #counters = { accepted: 0, handedOver: 0, strangers: 0, refused: 0, overflow: 0 };
  #closed = false;

  private constructor(options: DataListenerOptions) {
    this.#options = options;
    this.#listen = options.listen;
  }

  /** @throws NetError `address-invalid`, `listen-failed`; nothing is left open then */
  static async start(options: DataListenerOptions): Promise<DataListener> {
    const listener = new DataListener(options);
    try {
      await listener.#become(options.listen);
    } catch (error) {
      await listener.close();
      throw error;
    }
    return listener;
  }

  get counters(): DataListenerCounters {
    return { ...this.#counters };
  }

  /** Ports that are listened on, in the order of `listen`. */
  get ports(): readonly number[] {
    return [...this.#servers.values()].map((server) => {
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : 0;
    });
  }

  /** Closes what was not handed over. Idempotent. */
  close(): Promise<void> {
    this.#closed = true;
    for (const socket of [...this.#pending, ...this.#strangers]) socket.destroy();
    this.#leave([...this.#servers.keys()]);
    return Promise.resolve();
  }

  /**
   * Listens on these addresses from now on; connections that were made stay.
   * @throws NetError as start(); it listens as before then
   */
  async relisten(addresses: readonly string[]): Promise<void> {
    const before = this.#listen;
    try {
      await this.#become(addresses);
    } catch (error) {
      await this.#become(before);
      throw error;
    }
  }

  /** The old ones go first: a new one may be a part of an old one, e.g. one address of `0.0.0.0`. */
  async #become(addresses: readonly string[]): Promise<void> {
    this.#listen = addresses;
    this.#leave([...this.#servers.keys()].filter((address) => !addresses.includes(address)));
    for (const address of addresses) if (!this.#servers.has(address)) await this.#open(address);
  }

  /** Its port is free at once. What it accepted and handed over may live on, so nobody waits for that. */
  #leave(addresses: readonly string[]): void {
    for (const address of addresses) this.#servers.get(address)?.close();
    for (const address of addresses) this.#servers.delete(address);
  }

  async #open(text: string): Promise<void> {
    const { family, host, port } = parseHastAddress(text);
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#accept(socket));
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, backlog: BACKLOG, ipv6Only: family === 6 }, resolve);
      });
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
      if (ANY.includes(host) && NO_FAMILY.includes(code) && this.#listen.length > 1) return;
      throw new NetError(
        'listen-failed',
        `cannot listen for the data link on ${text} (${code ?? 'unknown error'}): ` +
          (code === 'EADDRINUSE'
            ? "another program does, perhaps hastd; end it, or change 'listen' in hast.conf"
            : "is it an address of this machine? correct 'listen' in hast.conf"),
        { cause },
      );
    }
    server.removeAllListeners('error');
    server.on('error', (error) => this.#options.onRefused?.(text, `accepting failed: ${error.message}`));
    this.#servers.set(text, server);
  }

  #accept(socket: Socket): void {
    const address = plainIp(socket.remoteAddress ?? '');
    socket.on('error', () => socket.destroy());
    this.#counters.accepted++;
    if (this.#closed || address === '') {
      socket.destroy();
      return;
    }
    if (this.#pending.size >= (this.#options.maxPending ?? MAX_PENDING)) {
      // A peer that means it speaks at once: who has been silent for longest makes room.
      this.#counters.overflow++;
      const [oldest] = this.#pending;
      oldest?.destroy();
      if (oldest !== undefined) this.#pending.delete(oldest);
    }
    this.#pending.add(socket);
    const timer = setTimeout(() => {
      this.#refuse(socket, address, 'it did not say in time for which resource it came');
    }, this.#options.firstFrameTimeoutMs ?? FIRST_FRAME_TIMEOUT_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#pending.delete(socket);
    });
    void this.#allowed(address).then((allowed) => {
      if (socket.destroyed) return;
      if (allowed.size === 0) {
        this.#counters.strangers++;
        this.#dismiss(socket, address);
        return;
      }
      this.#readFirstFrame(socket, address, allowed, () => {
        clearTimeout(timer);
        this.#pending.delete(socket);
      });
    });
  }

  /**
   * hastd says nothing here. A node with a wrong `remote` or `source` should learn why, and costs little: its first
   * byte says in which language.
   */
  #dismiss(socket: Socket, address: string): void {
    this.#options.onRefused?.(address, 'it is not the remote address of any resource');
    this.#pending.delete(socket);
    const errmsg = `Address ${address} is not the remote address of any resource.`;
    const [oldest] = this.#strangers;
    if (this.#strangers.size >= MAX_STRANGERS) oldest?.destroy();
    this.#strangers.add(socket);
    const answer = (bytes: Buffer): void => {
      socket.off('data', onData);
      socket.resume();
      socket.end(bytes);
      socket.destroySoon();
    };
    const onData = (chunk: Buffer): void =>
      answer(isTls(chunk) ? fatalAlert(ALERT.accessDenied) : refusalFrame(errmsg));
    const timer = setTimeout(() => answer(refusalFrame(errmsg)), STRANGER_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#strangers.delete(socket);
    });
    socket.on('data', onData);
    socket.resume();
  }

  /** Names of the resources whose `remote` this address is. */
  async #allowed(address: string): Promise<ReadonlySet<string>> {
    const names = await Promise.all(
      this.#options.resources().map(async ({ name, remote }) => {
        if (remote === null) return null;
        const matches = await isAddressOf(remote, address, LOOKUP_TIMEOUT_MS).catch(() => false);
        return matches ? name : null;
      }),
    );
    return new Set(names.filter((name) => name !== null));
  }

  #readFirstFrame(socket: Socket, address: string, allowed: ReadonlySet<string>, leave: () => void): void {
    const reader = new FirstWordsReader();
    const onData = (chunk: Buffer): void => {
      let words: FirstWords | null;
      try {
        words = reader.push(chunk);
      } catch (error) {
        const later = isTls(reader.head) ? null : refusesVersion(reader.head);
        if (later === null)
          this.#refuse(socket, address, error instanceof Error ? error.message : String(error));
        else this.#answer(socket, address, later);
        return;
      }
      if (words === null) return;
      socket.off('data', onData);
      socket.off('end', onEnd);
      const { kind } = words;
      const resource = this.#resourceOf(words);
      if (resource === undefined) {
        this.#answer(socket, address, NOT_CONFIGURED[kind], kind === 'tls' ? ALERT.unknownIdentity : null);
      } else if (!allowed.has(resource.name)) {
        this.#answer(
          socket,
          address,
          'No access to the resource.',
          kind === 'tls' ? ALERT.accessDenied : null,
        );
      } else {
        leave();
        this.#counters.handedOver++;
        const encrypted = kind === 'tls';
        resource.adopt({ socket, head: reader.head, remoteAddress: address, encrypted });
      }
    };
    const onEnd = (): void => this.#refuse(socket, address, 'it closed before its first frame');
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.resume();
  }

  #resourceOf(words: FirstWords): ListenedResource | undefined {
    return this.#options
      .resources()
      .find(({ name, way }) =>
        words.kind === 'plain' ? name === words.resource : words.way !== null && words.way === way,
      );
  }

  /** In HAST's words, or by an alert of TLS. */
  #answer(socket: Socket, address: string, errmsg: string, alert: number | null = null): void {
    this.#counters.refused++;
    this.#options.onRefused?.(address, errmsg);
    socket.end(alert === null ? refusalFrame(errmsg) : fatalAlert(alert));
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), REFUSAL_LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  #refuse(socket: Socket, address: string, reason: string): void {
    if (socket.destroyed) return;
    this.#counters.refused++;
    this.#options.onRefused?.(address, reason);
    socket.destroy();
  }
}

function isTls(head: Buffer): boolean {
  return head[0] === TLS_HANDSHAKE;
}

function refusalFrame(errmsg: string): Buffer {
  return Buffer.concat(encodeFrame(HAST_VERSION, [{ name: 'errmsg', type: 'string', value: errmsg }]));
}
