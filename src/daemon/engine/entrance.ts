/**
 * Where accepted connections come into an engine's thread: with keys or certificates only through TLS and by these,
 * without only in plain.
 * @see SAFETY E3
 */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { faultWords } from '../../model/certificates.ts';
import { describeError, NetError } from '../../model/errors.ts';
import { certificateFault } from '../../net/certificate-tls.ts';
import { ALERT, fatalAlert } from '../../protocol/tls-record.ts';
import { byCertificate } from '../../protocol/link-keys.ts';
import type { LinkAccess } from '../../protocol/link-keys.ts';
import type { ConnectionPort } from '../../replication/ports.ts';
import { DataConnection } from './data-connection.ts';
import { FirstWordsReader } from './first-words.ts';
import { takeOver, takeOverEncrypted } from './hand-over.ts';
import type { EncryptedStream } from './hand-over.ts';
import { acceptByCertificate, CERTIFICATE_PEER, KEY_PEER } from './certificate-link.ts';
import { LinkRefused } from './link-refused.ts';
import { acceptTls, PLAIN_PEER, secured, TLS_PEER } from './secure-link.ts';
import type { Adoption } from './worker-messages.ts';

/** For TLS, and then for the first frame. */
const TLS_MS = 10_000;
/** A peer opens two at a time. */
const MAX_WAITING = 8;
const REFUSAL_LINGER_MS = 1000;

/** The part of an engine that it leads to. */
export interface Doorkeeper {
  adopt(connection: ConnectionPort, head: Buffer): void;
  turnAway(connection: ConnectionPort | null, why: string): void;
}

export class Entrance {
  readonly #engine: Doorkeeper;
  /** Not proven yet. */
  readonly #waiting = new Set<Duplex>();

  constructor(engine: Doorkeeper) {
    this.#engine = engine;
  }

  /** Takes the connection over. Whatever goes wrong with it, the peer will connect again. */
  take(message: Adoption, access: LinkAccess | null): void {
    const { remoteAddress } = message;
    const refused = (why: string): string => `the primary at ${remoteAddress} was refused: ${why}`;
    try {
      if (!message.encrypted) {
        const connection = takeOver(message);
        if (access === null) this.#engine.adopt(connection, Buffer.from(message.head));
        else this.#engine.turnAway(connection, refused(PLAIN_PEER));
        return;
      }
      const taken = takeOverEncrypted(message);
      const misfit = access === null ? NO_TLS_HERE : misfitOf(message, access);
      if (access === null || misfit !== null) {
        const { alert, why } = misfit ?? NO_TLS_HERE;
        taken.stream.on('error', () => taken.stream.destroy());
        taken.stream.end(fatalAlert(alert));
        taken.stream.resume();
        setTimeout(() => taken.stream.destroy(), REFUSAL_LINGER_MS).unref();
        this.#engine.turnAway(null, refused(why));
        return;
      }
      this.#encrypted(taken, access, remoteAddress, refused).catch((error: unknown) => {
        if (error instanceof LinkRefused) this.#engine.turnAway(null, refused(error.message));
      });
    } catch {
      // It ended on the way here.
    }
  }

  close(): void {
    for (const stream of this.#waiting) stream.destroy();
  }

  async #encrypted(
    { stream, settle }: EncryptedStream,
    access: LinkAccess,
    remoteAddress: string,
    refused: (why: string) => string,
  ): Promise<void> {
    const [oldest] = this.#waiting;
    if (this.#waiting.size >= MAX_WAITING) oldest?.destroy();
    this.#waiting.add(stream);
    let socket: TLSSocket | null = null;
    try {
      socket = await opened(stream, access);
      const fault = byCertificate(access) ? certificateFault(socket, access.peer, access.accepted) : null;
      if (fault !== null) {
        const connection = new DataConnection(socket, remoteAddress, { settle });
        this.#engine.turnAway(connection, refused(faultWords(fault)));
        return;
      }
      const { head, errmsg } = await firstFrame(socket);
      if (errmsg === undefined)
        this.#engine.adopt(new DataConnection(socket, remoteAddress, { settle }), head);
      else {
        this.#engine.turnAway(null, `the primary at ${remoteAddress} refused this node: ${errmsg}`);
        socket.destroy();
      }
    } catch (error) {
      (socket ?? stream).destroy();
      throw error;
    } finally {
      this.#waiting.delete(stream);
    }
  }
}

/** Why this end cannot even begin with what the client has; it learns that by the alert. */
interface Misfit {
  readonly alert: number;
  readonly why: string;
}

const NO_TLS_HERE: Misfit = { alert: ALERT.handshakeFailure, why: TLS_PEER };

function misfitOf({ head }: Adoption, access: LinkAccess): Misfit | null {
  const words = new FirstWordsReader().push(Buffer.from(head));
  const comesByKey = words?.kind === 'tls' && words.by === 'key';
  if (byCertificate(access)) return comesByKey ? { alert: ALERT.certificateRequired, why: KEY_PEER } : null;
  return comesByKey ? null : { alert: ALERT.missingExtension, why: CERTIFICATE_PEER };
}

/** With a key proven, with certificates to be judged. */
async function opened(stream: Duplex, access: LinkAccess): Promise<TLSSocket> {
  if (byCertificate(access)) {
    const socket = await acceptByCertificate(stream, access, TLS_MS);
    socket.on('error', () => socket.destroy());
    return socket;
  }
  const socket = acceptTls(stream, access);
  socket.on('error', () => socket.destroy());
  await secured(socket, access, TLS_MS);
  return socket;
}

interface FirstFrame {
  /** All that came until it was whole. */
  readonly head: Buffer;
  /** It came to say no, and why. */
  readonly errmsg: string | undefined;
}

/** The socket is paused then. @throws NetError `first-frame` */
function firstFrame(socket: TLSSocket): Promise<FirstFrame> {
  return new Promise((resolve, reject) => {
    const reader = new FirstWordsReader();
    const timer = setTimeout(() => finish('nothing was asked for in time'), TLS_MS);
    let errmsg: string | undefined;
    const onData = (chunk: Buffer): void => {
      try {
        const words = reader.push(chunk);
        if (words === null) return;
        if (words.kind === 'plain') errmsg = words.errmsg;
        finish(null);
      } catch (error) {
        finish(describeError(error));
      }
    };
    const onEnd = (): void => finish('the peer closed the connection');
    const finish = (trouble: string | null): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off('data', onData).off('end', onEnd).off('close', onEnd);
      if (trouble === null) resolve({ head: reader.head, errmsg });
      else reject(new NetError('first-frame', trouble));
    };
    socket.on('data', onData).once('end', onEnd).once('close', onEnd);
    socket.resume();
  });
}
