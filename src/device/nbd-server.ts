/**
 * Exports a primary's disk over NBD on a unix socket, for one epoch. Needs nothing of the
 * main thread, so that it can run beside the engine in a worker.
 * @see SAFETY D3
 */
import { chmodSync } from 'node:fs';
import { lstat, mkdir, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { BlockDevice } from '../model/block-device.ts';
import { DiskError, type WireError } from '../model/errors.ts';
import type { Epoch } from '../model/record.ts';
import { NbdConnection } from './nbd-connection.ts';
import { HALF_SAID_MS, Newcomers } from './newcomers.ts';

/** sun_path is 108 bytes on Linux, 104 on FreeBSD, with a final zero. */
export const MAX_SOCKET_PATH_BYTES = 103;
const MAX_CLIENTS = 64;
/** The device may lower pendingBytes without calling anybody back. */
const RELIEF_CHECK_MS = 50;
const LIVENESS_TIMEOUT_MS = 1000;

export interface NbdServerOptions {
  readonly socketPath: string;
  /** The resource's name. */
  readonly exportName: string;
  readonly device: BlockDevice;
  readonly epoch: Epoch;
  /** A client sent garbage, was too slow or too many, or asked for another export, and was closed. */
  readonly onClientError?: (error: Pick<WireError, 'code' | 'message'>) => void;
  /** For what a client is to say first. ms */
  readonly patienceMs?: number;
}

export interface NbdServer {
  /** Ends every client at once, then removes the socket. Idempotent. */
  close(): Promise<void>;
  readonly clients: number;
}

/**
 * Listens with mode 0600 when it resolves. Clients may name the export `<resource>`, nothing, or
 * `epochExportName()`; the name of another epoch is refused.
 * @throws DiskError `nbd-socket-path` (too long), `nbd-socket-live` (somebody serves there),
 *   `nbd-socket-taken` (the path is no socket), `nbd-listen`
 */
export async function createNbdServer(options: NbdServerOptions): Promise<NbdServer> {
  const { socketPath } = options;
  checkPath(socketPath);
  await makeDirectory(socketPath);
  await removeStaleSocket(socketPath);

  const connections = new Map<Socket, NbdConnection>();
  const relieve = (): void => {
    for (const connection of connections.values()) connection.resume();
  };
  const patience = options.patienceMs ?? HALF_SAID_MS;
  const dismiss = (socket: Socket, why: string): void => {
    connections.get(socket)?.close();
    options.onClientError?.({ code: 'nbd-late', message: why });
  };
  const newcomers = new Newcomers<Socket>({ most: MAX_CLIENTS, patience, dismiss });
  /** Who stopped in the middle of a request keeps nobody out; who is only idle stays. */
  const makeRoom = (): boolean => {
    const now = performance.now();
    for (const [socket, connection] of connections) {
      if (connection.stalledMs(now) < patience) continue;
      dismiss(socket, `it stopped in the middle of a request, and ${MAX_CLIENTS} clients are connected`);
      connections.delete(socket);
      return true;
    }
    return false;
  };
  let saidFull = false;
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    if (connections.size - newcomers.size >= MAX_CLIENTS && !makeRoom()) {
      if (!saidFull)
        options.onClientError?.({
          code: 'nbd-full',
          message: `${MAX_CLIENTS} are connected already; end one of them`,
        });
      saidFull = true;
      socket.destroy();
      return;
    }
    connections.set(
      socket,
      accept(options, socket, relieve, () => newcomers.leave(socket)),
    );
    newcomers.enter(socket);
    socket.on('close', () => {
      newcomers.leave(socket);
      connections.delete(socket);
      saidFull = false;
    });
  });
  await listen(server, socketPath);

  const timer = setInterval(() => {
    relieve();
    const now = performance.now();
    for (const connection of connections.values()) connection.stalledMs(now);
  }, RELIEF_CHECK_MS);
  timer.unref();
  let closing: Promise<void> | null = null;
  return {
    get clients() {
      return connections.size;
    },
    close() {
      closing ??= new Promise<void>((resolve) => {
        clearInterval(timer);
        for (const connection of connections.values()) connection.close();
        // Also removes the socket from the file system.
        server.close(() => resolve());
      });
      return closing;
    },
  };
}

function accept(
  options: NbdServerOptions,
  socket: Socket,
  onProgress: () => void,
  onAgreed: () => void,
): NbdConnection {
  const { device, exportName, epoch } = options;
  return new NbdConnection({
    socket,
    device,
    offer: {
      exportName,
      epoch,
      sizeBytes: device.sizeBytes,
      sectorBytes: device.sectorBytes,
      discards: device.discards,
      holes: device.allocation !== undefined,
    },
    onProgress,
    onAgreed,
    onGarbage: (error) => options.onClientError?.(error),
  });
}

function checkPath(socketPath: string): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return;
  throw new DiskError(
    'nbd-socket-path',
    `cannot export on ${socketPath}: the path has ${bytes} bytes and a unix socket takes ` +
      `${MAX_SOCKET_PATH_BYTES}; choose a shorter --state-dir`,
  );
}

async function makeDirectory(socketPath: string): Promise<void> {
  try {
    await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new DiskError('nbd-listen', `cannot make the directory of ${socketPath}`, { cause });
  }
}

async function removeStaleSocket(socketPath: string): Promise<void> {
  const found = await lstat(socketPath).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) {
    throw new DiskError(
      'nbd-socket-taken',
      `cannot export on ${socketPath}: something that is no socket is there; remove it`,
    );
  }
  if (await isLive(socketPath)) {
    throw new DiskError(
      'nbd-socket-live',
      `cannot export on ${socketPath}: another process serves there; stop it or choose another --state-dir`,
    );
  }
  await rm(socketPath, { force: true });
}

/** Only a refused connection proves that nobody listens: a full backlog or a time-out is a server that is busy or hangs. */
function isLive(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (live: boolean): void => {
      probe.destroy();
      resolve(live);
    };
    probe.setTimeout(LIVENESS_TIMEOUT_MS, () => settle(true));
    probe.on('connect', () => settle(true));
    probe.on('error', (error: NodeJS.ErrnoException) =>
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      server.close();
      reject(new DiskError('nbd-listen', `cannot export on ${socketPath}`, { cause }));
    };
    server.once('error', fail);
    server.listen(socketPath, () => {
      server.off('error', fail);
      try {
        chmodSync(socketPath, 0o600);
      } catch (error) {
        fail(error);
        return;
      }
      // An accept() that failed concerns one client, who notices.
      server.on('error', () => undefined);
      resolve();
    });
  });
}
