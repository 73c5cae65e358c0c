/**
 * One connection of the peer channel once TCP (and TLS) stand: lines in, messages out, a hello
 * first from both sides. Bounded in both directions; owns its socket.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { CertificateFault } from '../model/certificates.ts';
import { WireError } from '../model/errors.ts';
import type { PeerAddress } from '../model/settings.ts';
import { PEER_LINE_LIMIT, decodePeerMessage, encodePeerMessage } from '../protocol/peer-message.ts';
import type { PeerHello, PeerMessage, PeerRefusal } from '../protocol/peer-message.ts';

/** Bytes not yet taken by the kernel: over it the peer does not read and the connection is given up. */
export const UNSENT_LIMIT = 256 * 1024;

const LINE_FEED = 10;
/** A JSON object begins with neither: a record of TLS does, an alert or a handshake. */
const TLS_RECORDS: readonly (number | undefined)[] = [0x15, 0x16];

export type AcceptedMessage = Exclude<PeerMessage, PeerHello | PeerRefusal>;

export interface Ending {
  /** By FIN or RST of the other side, not by us. */
  readonly byPeer: boolean;
  readonly reason: string;
}

export interface ConnectionListener {
  /** @returns false to turn it away; the listener then has said why */
  hello(connection: PeerConnection, hello: PeerHello): boolean;
  /** Only after an accepted hello. */
  message(connection: PeerConnection, message: AcceptedMessage): void;
  /** In place of a hello: the other end does not like our certificate. It is dropped. */
  refused(connection: PeerConnection, fault: CertificateFault): void;
  garbage(connection: PeerConnection, error: unknown): void;
  /** Exactly once; `authenticated` when its hello was accepted. */
  ended(connection: PeerConnection, ending: Ending): void;
}

export class PeerConnection {
  readonly direction: 'in' | 'out';
  readonly socket: Socket;
  /** Where we connected to; null for a connection that came in. */
  readonly address: PeerAddress | null;
  /** The boot in the accepted hello; null until then. */
  boot: string | null = null;
  /** When the last valid message came; set by the channel. */
  heardAt = -Infinity;
  readonly #listener: ConnectionListener;
  #ending: Ending | null = null;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(socket: Socket, address: PeerAddress | null, hello: PeerHello, listener: ConnectionListener) {
    this.address = address;
    this.direction = address === null ? 'in' : 'out';
    this.socket = socket;
    this.#listener = listener;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => (this.#ending ??= { byPeer: true, reason: 'the peer closed it' }));
    socket.on('error', (error) => (this.#ending ??= endingOf(error)));
    socket.on('close', () =>
      this.#listener.ended(this, this.#ending ?? { byPeer: false, reason: 'it was closed' }),
    );
    this.send(hello);
  }

  /** Sends, or gives the connection up when the peer does not read. @throws WireError when too long for a line */
  send(message: PeerMessage): void {
    const line = encodePeerMessage(message);
    if (this.#ending !== null || !this.socket.writable) return;
    this.socket.write(line);
    if (this.socket.writableLength > UNSENT_LIMIT) this.drop('the peer does not read what we send');
  }

  /** Ends at once; not a sign of the peer's death. */
  drop(reason: string): void {
    this.#ending ??= { byPeer: false, reason };
    this.socket.destroy();
  }

  /** Sends what is still unsent, then ends. */
  finish(reason: string): void {
    this.#ending ??= { byPeer: false, reason };
    this.socket.end();
  }

  #take(chunk: Buffer): void {
    if (this.boot === null && !(this.socket instanceof TLSSocket) && TLS_RECORDS.includes(chunk[0])) {
      this.#garbage(new WireError('peer-speaks-tls', 0, 'line', 'the peer encrypts and this node does not'));
      return;
    }
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, from)) {
      this.#held.push(chunk.subarray(from, at));
      from = at + 1;
      const line = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held);
      this.#held = [];
      this.#heldBytes = 0;
      if (this.#ending?.byPeer === false) return;
      if (line !== undefined && !this.#receive(line)) return;
    }
    if (from === chunk.length) return;
    this.#held.push(chunk.subarray(from));
    this.#heldBytes += chunk.length - from;
    if (this.#heldBytes < PEER_LINE_LIMIT) return;
    this.#held = [];
    this.#garbage(
      new WireError('peer-message-too-long', PEER_LINE_LIMIT, 'line', 'a line of the peer does not end'),
    );
  }

  #receive(line: Buffer): boolean {
    let message: PeerMessage;
    try {
      message = decodePeerMessage(line);
      if ((message.type === 'hello' || message.type === 'refused') !== (this.boot === null)) {
        throw new WireError('peer-message-field', 0, 'type', `an unexpected ${message.type} of the peer`);
      }
    } catch (error) {
      this.#garbage(error);
      return false;
    }
    if (message.type === 'refused') {
      this.#listener.refused(this, message.fault);
      this.drop('the peer refuses the certificate of this node');
      return false;
    }
    if (message.type !== 'hello') {
      this.#listener.message(this, message);
      return true;
    }
    this.boot = message.boot;
    if (this.#listener.hello(this, message)) return true;
    this.boot = null;
    this.drop('it was turned away');
    return false;
  }

  #garbage(error: unknown): void {
    this.#listener.garbage(this, error);
    this.drop('it sent garbage');
  }
}

function endingOf(error: Error): Ending {
  const code = 'code' in error ? String(error.code) : '';
  return { byPeer: code === 'ECONNRESET' || code === 'EPIPE', reason: error.message };
}
