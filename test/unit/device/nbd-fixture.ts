import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { BlockDevice } from '../../../src/model/block-device.ts';
import type { Epoch } from '../../../src/model/record.ts';
import { connectNbd, type NbdInitiator } from '../../../src/device/nbd-initiator.ts';
import { GREETING_BYTES, encodeClientFlags, encodeOption } from '../../../src/protocol/nbd-negotiation.ts';
import { encodeRequest } from '../../../src/protocol/nbd.ts';
import { createNbdServer, type NbdServer } from '../../../src/device/nbd-server.ts';

export const EPOCH: Epoch = { number: 7, id: '00000000000000aa' };

/** A directory that goes with the test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hastate-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export interface Served {
  readonly socketPath: string;
  readonly server: NbdServer;
  readonly garbage: string[];
  connect(exportName?: string): Promise<NbdInitiator>;
  /** A connection without a client: the test speaks NBD itself. */
  raw(): Promise<RawClient>;
}

export async function serve(device: BlockDevice, patienceMs = 10_000): Promise<Served> {
  const socketPath = join(await temporaryDirectory(), 'disk1.sock');
  const garbage: string[] = [];
  const server = await createNbdServer({
    socketPath,
    exportName: 'disk1',
    device,
    epoch: EPOCH,
    patienceMs,
    onClientError: (error) => garbage.push(error.code),
  });
  onTestFinished(() => server.close());
  return {
    socketPath,
    server,
    garbage,
    connect: (exportName = 'disk1') => connectNbd({ socketPath, exportName }),
    raw: () => RawClient.to(socketPath),
  };
}

/** Bytes that are the same on every run and different in every sector. */
export function content(bytes: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state;
  }
  return Buffer.from(words.buffer);
}

export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        resolve();
        this.#wake();
      });
    });
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
  }

  static to(path: string): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      const client = new RawClient(socket);
      socket.once('error', reject);
      socket.once('connect', () => resolve(client));
    });
  }

  /** The next `length` bytes. */
  async take(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.socket.destroyed) throw new Error(`closed after ${this.#received.length} of ${length} bytes`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }
}

/** Lets the event loop turn until the condition holds; the test's time-out bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Answer to NBD_OPT_EXPORT_NAME with NO_ZEROES. */
export const EXPORT_ANSWER_BYTES = 10;

/** Takes an export the old way. */
export async function opened(client: RawClient): Promise<void> {
  await client.take(GREETING_BYTES);
  client.socket.write(Buffer.concat([encodeClientFlags(3), encodeOption(1, Buffer.from('disk1'))]));
  await client.take(EXPORT_ANSWER_BYTES);
}

/** A request with a cookie as only this client has. */
export function request(type: number, cookieLow: number, offset: number, length: number, flags = 0): Buffer {
  return encodeRequest({ flags, type, cookieHigh: 9, cookieLow, offset, length });
}
