/**
 * A stand-in for FreeBSD's ggatec, written from notes on how the stock one behaves: the whole handshake on
 * one connection and then on the other, FLUSH and DELETE under the name of the previous command, everything
 * unanswered sent again after a reconnect. Where the kernel would ask for blocks, a test does.
 */
import { connect, type Socket } from 'node:net';
import {
  GGATE_HEADER_BYTES,
  GGATE_SERVER_INIT_BYTES,
  GGATE_VERSION_BYTES,
  GgateCommand,
  GgateFlag,
  decodeGgateHeader,
  decodeGgateServerInit,
  decodeGgateVersion,
  encodeGgateClientInit,
  encodeGgateHeader,
  encodeGgateVersion,
} from '../../src/protocol/ggate.ts';

export interface GgatecTarget {
  readonly port: number;
  readonly path: string;
  /** GgateFlag.READ_ONLY or WRITE_ONLY; default both allowed. */
  readonly access?: number;
}

interface Request {
  readonly bytes: Buffer;
  readonly seq: number;
  readonly wanted: number;
  readonly resolve: (answer: { error: number; data: Buffer }) => void;
}

/** Bytes of a socket, as many as asked for. */
export class Bytes {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => this.#wake());
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
  }

  static to(port: number): Promise<Bytes> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      const bytes = new Bytes(socket);
      socket.once('error', reject);
      socket.once('connect', () => resolve(bytes));
    });
  }

  /** Null: the connection ended first. */
  async take(length: number): Promise<Buffer | null> {
    while (this.#received.length < length) {
      if (this.socket.destroyed || this.socket.readableEnded) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }
}

/** One connection with its handshake done. @throws Error `refused N` with the errno; `closed` */
export async function ggateHandshake(
  { port, path, access = 0 }: GgatecTarget,
  direction: number,
  token: number,
): Promise<{ bytes: Bytes; mediaBytes: number; sectorBytes: number }> {
  const bytes = await Bytes.to(port);
  bytes.socket.write(encodeGgateVersion({ version: 0, error: 0 }));
  const version = await bytes.take(GGATE_VERSION_BYTES);
  if (version === null) throw new Error('closed');
  if (decodeGgateVersion(version).error !== 0) throw new Error('refused version');
  bytes.socket.write(encodeGgateClientInit({ path, flags: access | direction, connections: 2, token }));
  const init = await bytes.take(GGATE_SERVER_INIT_BYTES);
  if (init === null) throw new Error('closed');
  const { error, ...sizes } = decodeGgateServerInit(init);
  if (error !== 0) {
    bytes.socket.destroy();
    throw new Error(`refused ${error}`);
  }
  return { bytes, ...sizes };
}

let nextToken = 1;

export class Ggatec {
  readonly target: GgatecTarget;
  mediaBytes = 0;
  sectorBytes = 0;
  /** Connections that were made again. */
  reconnects = -1;
  #send: Bytes | null = null;
  #receive: Bytes | null = null;
  readonly #forgotten: (Bytes | null)[] = [];
  #seq = 0;
  /** What gh_cmd still holds. */
  #command: number = GgateCommand.READ;
  readonly #outstanding = new Map<number, Request>();

  constructor(target: GgatecTarget) {
    this.target = target;
  }

  static async create(target: GgatecTarget): Promise<Ggatec> {
    const client = new Ggatec(target);
    await client.reconnect();
    return client;
  }

  /** Both connections anew, and everything unanswered again. `silently`: the server never sees the old ones end. */
  async reconnect({ silently = false } = {}): Promise<void> {
    const old = [this.#send, this.#receive];
    if (silently) this.#forgotten.push(...old);
    else for (const bytes of old) bytes?.socket.destroy();
    const token = nextToken++;
    const receive = await ggateHandshake(this.target, GgateFlag.SEND, token);
    const send = await ggateHandshake(this.target, GgateFlag.RECV, token);
    this.#receive = receive.bytes;
    this.#send = send.bytes;
    this.mediaBytes = receive.mediaBytes;
    this.sectorBytes = receive.sectorBytes;
    this.reconnects += 1;
    void this.#listen(receive.bytes);
    for (const { bytes } of this.#outstanding.values()) send.bytes.socket.write(bytes);
  }

  /** The network breaks. */
  drop(): void {
    for (const bytes of [this.#send, this.#receive, ...this.#forgotten]) bytes?.socket.destroy();
  }

  read(offset: number, length: number): Promise<{ error: number; data: Buffer }> {
    this.#command = GgateCommand.READ;
    return this.#request(offset, length, null);
  }

  async write(offset: number, data: Buffer): Promise<number> {
    this.#command = GgateCommand.WRITE;
    return (await this.#request(offset, data.length, data)).error;
  }

  /** BIO_FLUSH: the switch has no case for it. */
  async flush(): Promise<number> {
    return (await this.#request(this.mediaBytes, 0, null)).error;
  }

  /** BIO_DELETE: neither. After a write it sends whatever the buffer holds. */
  async delete(offset: number, length: number): Promise<number> {
    const stale = this.#command === GgateCommand.WRITE ? Buffer.alloc(length, 0xbb) : null;
    return (await this.#request(offset, length, stale)).error;
  }

  #request(offset: number, length: number, data: Buffer | null): Promise<{ error: number; data: Buffer }> {
    const seq = ++this.#seq;
    const command = this.#command;
    const head = encodeGgateHeader({ command, offset, length, seqHigh: 0, seqLow: seq, error: 0 });
    const bytes = data === null ? head : Buffer.concat([head, data]);
    const wanted = command === GgateCommand.READ ? length : 0;
    return new Promise((resolve) => {
      this.#outstanding.set(seq, { bytes, seq, wanted, resolve });
      this.#send?.socket.write(bytes);
    });
  }

  async #listen(bytes: Bytes): Promise<void> {
    for (;;) {
      const head = await bytes.take(GGATE_HEADER_BYTES);
      if (head === null) return;
      const { seqLow, error } = decodeGgateHeader(head);
      const request = this.#outstanding.get(seqLow);
      // The kernel ignores an answer to what it does not wait for; its data still has to be read past.
      const data = error === 0 && request !== undefined ? await bytes.take(request.wanted) : Buffer.alloc(0);
      if (data === null) return;
      this.#outstanding.delete(seqLow);
      request?.resolve({ error, data });
    }
  }
}
