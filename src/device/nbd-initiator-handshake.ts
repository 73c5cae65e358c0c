/** The client's side of the NBD handshake: NBD_OPT_GO, nothing older. */
import type { Socket } from 'node:net';
import { NetError, describeError } from '../model/errors.ts';
import {
  GREETING_BYTES,
  HANDSHAKE_FIXED_NEWSTYLE,
  HANDSHAKE_NO_ZEROES,
  NbdInfo,
  NbdOption,
  NbdReply,
  OPTION_REPLY_HEADER_BYTES,
  decodeGreeting,
  decodeInfo,
  decodeOptionReplyHeader,
  encodeClientFlags,
  encodeGoOption,
  encodeOption,
} from '../protocol/nbd-negotiation.ts';

interface Negotiated {
  readonly sizeBytes: number;
  /** What followed the handshake. The socket is paused. */
  readonly rest: Buffer;
}

/** Resolves once the export is open. The caller destroys the socket if this rejects. @throws NetError `nbd-connect`, `nbd-refused` */
export function negotiate(
  socket: Socket,
  target: { readonly socketPath: string; readonly exportName: string },
): Promise<Negotiated> {
  const parser = new ReplyParser(target);
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      socket.pause();
      socket.off('data', take);
      socket.off('close', lost);
      finish();
    };
    const take = (chunk: Buffer): void => {
      try {
        const result = parser.take(chunk, (answer) => socket.write(answer));
        if (result !== null) settle(() => resolve(result));
      } catch (error) {
        settle(() => reject(error instanceof NetError ? error : connectError(target, error)));
      }
    };
    let cause: unknown;
    const lost = (): void => settle(() => reject(connectError(target, cause)));
    socket.on('error', (error) => (cause = error));
    socket.on('data', take);
    socket.on('close', lost);
  });
}

class ReplyParser {
  readonly #target: { readonly socketPath: string; readonly exportName: string };
  #bytes: Buffer = Buffer.alloc(0);
  #greeted = false;
  #sizeBytes: number | null = null;

  constructor(target: { readonly socketPath: string; readonly exportName: string }) {
    this.#target = target;
  }

  take(chunk: Buffer, send: (answer: Buffer) => void): Negotiated | null {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#greeted) {
      if (this.#bytes.length < GREETING_BYTES) return null;
      send(this.#greet());
    }
    for (;;) {
      if (this.#bytes.length < OPTION_REPLY_HEADER_BYTES) return null;
      const { type, length } = decodeOptionReplyHeader(this.#bytes);
      const end = OPTION_REPLY_HEADER_BYTES + length;
      if (this.#bytes.length < end) return null;
      const data = this.#bytes.subarray(OPTION_REPLY_HEADER_BYTES, end);
      this.#bytes = this.#bytes.subarray(end);
      const result = this.#reply(type, data);
      if (result !== null) return result;
    }
  }

  #greet(): Buffer {
    const flags = decodeGreeting(this.#bytes) & (HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES);
    this.#bytes = this.#bytes.subarray(GREETING_BYTES);
    this.#greeted = true;
    const go = encodeGoOption({ name: this.#target.exportName, infos: [NbdInfo.BLOCK_SIZE] });
    return Buffer.concat([encodeClientFlags(flags), encodeOption(NbdOption.GO, go)]);
  }

  #reply(type: number, data: Buffer): Negotiated | null {
    const { socketPath, exportName } = this.#target;
    if (type === NbdReply.INFO) {
      const info = decodeInfo(data);
      if (info.kind === 'export') this.#sizeBytes = info.sizeBytes;
      return null;
    }
    if (type === NbdReply.ACK && this.#sizeBytes !== null) {
      return { sizeBytes: this.#sizeBytes, rest: this.#bytes };
    }
    throw new NetError(
      'nbd-refused',
      `the NBD server at ${socketPath} refused export ${JSON.stringify(exportName)}: ` +
        (data.toString('utf8') || `reply 0x${type.toString(16)}`),
    );
  }
}

function connectError(target: { readonly socketPath: string }, cause: unknown): NetError {
  const why = cause === undefined ? 'the connection was closed' : describeError(cause);
  return new NetError('nbd-connect', `cannot open the NBD export at ${target.socketPath}: ${why}`, { cause });
}
