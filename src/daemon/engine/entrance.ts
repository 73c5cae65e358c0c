/**
 * Where accepted connections come into an engine's thread: with keys only through TLS, without only in plain.
 * @see SAFETY E3
 */
import type { TLSSocket } from 'node:tls';
import { describeError, NetError } from '../../model/errors.ts';
import { ALERT, fatalAlert } from '../../protocol/tls-record.ts';
import type { LinkTls } from '../../protocol/link-keys.ts';
import type { ConnectionPort } from '../../replication/ports.ts';
import { DataConnection } from './data-connection.ts';
import { FirstWordsReader } from './first-words.ts';
import { takeOver, takeOverEncrypted } from './hand-over.ts';
import type { EncryptedStream } from './hand-over.ts';
import { acceptTls, LinkRefused, PLAIN_PEER, secured, TLS_PEER } from './secure-link.ts';
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
  readonly #waiting = new Set<TLSSocket>();

  constructor(engine: Doorkeeper) {
    this.#engine = engine;
  }

  /** Takes the connection over. Whatever goes wrong with it, the peer will connect again. */
  take(message: Adoption, tls: LinkTls | null): void {
    const { remoteAddress } = message;
    const refused = (why: string): string => `the primary at ${remoteAddress} was refused: ${why}`;
    try {
      if (!message.encrypted) {
        const connection = takeOver(message);
        if (tls === null) this.#engine.adopt(connection, Buffer.from(message.head));
        else this.#engine.turnAway(connection, refused(PLAIN_PEER));
        return;
      }
      const taken = takeOverEncrypted(message);
      if (tls === null) {
        taken.stream.on('error', () => taken.stream.destroy());
        taken.stream.end(fatalAlert(ALERT.handshakeFailure));
        taken.stream.resume();
        setTimeout(() => taken.stream.destroy(), REFUSAL_LINGER_MS).unref();
        this.#engine.turnAway(null, refused(TLS_PEER));
        return;
      }
      this.#encrypted(taken, tls, remoteAddress).catch((error: unknown) => {
        if (error instanceof LinkRefused) this.#engine.turnAway(null, refused(error.message));
      });
    } catch {
      // It ended on the way here.
    }
  }

  close(): void {
    for (const socket of this.#waiting) socket.destroy();
  }

  async #encrypted({ stream, settle }: EncryptedStream, tls: LinkTls, remoteAddress: string): Promise<void> {
    const socket = acceptTls(stream, tls);
    socket.on('error', () => socket.destroy());
    const [oldest] = this.#waiting;
    if (this.#waiting.size >= MAX_WAITING) oldest?.destroy();
    this.#waiting.add(socket);
    try {
      await secured(socket, TLS_MS);
      const head = await firstFrame(socket);
      this.#engine.adopt(new DataConnection(socket, remoteAddress, { settle }), head);
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      this.#waiting.delete(socket);
    }
  }
}

/** All that came until the first frame was whole; the socket is paused then. @throws NetError `first-frame` */
function firstFrame(socket: TLSSocket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const reader = new FirstWordsReader();
    const timer = setTimeout(() => finish('nothing was asked for in time'), TLS_MS);
    const onData = (chunk: Buffer): void => {
      try {
        if (reader.push(chunk) !== null) finish(null);
      } catch (error) {
        finish(describeError(error));
      }
    };
    const onEnd = (): void => finish('the peer closed the connection');
    const finish = (trouble: string | null): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off('data', onData).off('end', onEnd).off('close', onEnd);
      if (trouble === null) resolve(reader.head);
      else reject(new NetError('first-frame', trouble));
    };
    socket.on('data', onData).once('end', onEnd).once('close', onEnd);
    socket.resume();
  });
}
