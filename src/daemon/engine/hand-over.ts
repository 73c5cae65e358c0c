/** Gives an accepted connection to an engine's thread, or takes it there. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { MessageChannel } from 'node:worker_threads';
import type { Worker } from 'node:worker_threads';
import { SocketReader } from '../../device/receive-slab.ts';
import type { ConnectionPort } from '../../replication/ports.ts';
import { DataConnection } from './data-connection.ts';
import { loadLibC } from './native.ts';
import { PortStream, relay } from './relay.ts';
import type { Adoption, ToWorker } from './worker-messages.ts';

/** A connection of which the first frame was read. */
export interface AcceptedConnection {
  readonly socket: Socket;
  /** All that was read so far. */
  readonly head: Buffer;
  readonly remoteAddress: string;
  /** The head begins TLS, which is for the engine's thread. */
  readonly encrypted?: boolean;
}

/** `fd` is the worker's from now on, unless the worker dies before it says so; null when relayed. */
export interface HandedOver {
  readonly fd: number | null;
}

/**
 * Main thread. Must be called in the turn in which the head was read, else bytes between are lost.
 * With koffi the socket itself goes; else its bytes are relayed, which costs two copies and two thread switches.
 */
export function handOver(
  { socket, head, remoteAddress, encrypted = false }: AcceptedConnection,
  worker: Pick<Worker, 'postMessage'>,
  dup: ((fd: number) => number) | null = loadLibC()?.dup ?? null,
): HandedOver {
  const copy = Uint8Array.from(head);
  const fd = dup === null ? -1 : dup(descriptorOf(socket));
  if (fd >= 0) {
    socket.destroy();
    worker.postMessage({ type: 'adopt', fd, head: copy, remoteAddress, encrypted } satisfies ToWorker);
    return { fd };
  }
  socket.pause();
  socket.removeAllListeners('data');
  const { port1, port2 } = new MessageChannel();
  // TLS reads one stream; a frame is there already.
  relay(socket, port1, encrypted ? copy : null);
  const message: ToWorker = { type: 'adopt-relayed', port: port2, head: copy, remoteAddress, encrypted };
  worker.postMessage(message, [port2]);
  return { fd: null };
}

/** Worker: the other end of handOver(). Nothing of the head is in it. */
export function takeOver(message: Adoption): ConnectionPort {
  const { remoteAddress } = message;
  if (message.type === 'adopt') {
    const reader = new SocketReader();
    return new DataConnection(openSocket(message.fd, reader.onread), remoteAddress, { reader });
  }
  const stream = new PortStream(message.port);
  return new DataConnection(stream, remoteAddress, { settle: () => stream.settle() });
}

/** A connection on which TLS begins, and the rest of what it takes to make a ConnectionPort of it. */
export interface EncryptedStream {
  /** Of the other end's bytes, the head first. */
  readonly stream: Duplex;
  readonly settle: () => Promise<void>;
}

/** Worker: the other end of handOver() for TLS. */
export function takeOverEncrypted(message: Adoption): EncryptedStream {
  if (message.type === 'adopt') {
    const socket = openSocket(message.fd);
    socket.unshift(Buffer.from(message.head));
    return { stream: socket, settle: () => Promise.resolve() };
  }
  const stream = new PortStream(message.port);
  return { stream, settle: () => stream.settle() };
}

function openSocket(fd: number, onread?: SocketReader['onread']): Socket {
  try {
    // Node takes it, its types do not show it here.
    const options = { fd, readable: true, writable: true, ...(onread === undefined ? {} : { onread }) };
    return new Socket(options);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Node keeps it on the handle, which its types do not show. -1 when there is none. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null;
  return typeof fd === 'number' ? fd : -1;
}
