/**
 * The control socket: hastctl's frames and our JSON lines on one unix socket of mode 0600.
 * The first byte tells them apart. @see protocols: hast section 9, src/protocol/control.ts
 */
import { createServer } from 'node:net';
import { HALF_SAID_MS, Newcomers } from '../device/newcomers.ts';
import { ControlClient } from './control-server-client.ts';
import type { ControlHandlers } from './control-server-client.ts';
import { listenPrivately } from './control-server-socket.ts';

const MAX_CLIENTS = 64;

export interface ControlServerOptions extends ControlHandlers {
  readonly path: string;
  /** A client that said nothing whole was closed: for the log. */
  readonly onDismissed?: (why: string) => void;
}

export interface ControlServer {
  /** Ends every client and removes the socket. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves until closed. At most 64 clients; a request has at most 64 KiB; a follower with more
 * than 1 MiB unread is dropped with the error `too-slow`.
 * @throws NetError when the socket cannot be made, or another daemon answers on it
 */
export async function createControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const clients = new Set<ControlClient>();
  const newcomers = new Newcomers<ControlClient>({
    most: MAX_CLIENTS,
    patience: options.patienceMs ?? HALF_SAID_MS,
    dismiss: (client, why) => {
      client.leave(0, 'request-late', why);
      options.onDismissed?.(why);
    },
  });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const client: ControlClient = new ControlClient(socket, options, {
      introduced: () => {
        if (clients.size - newcomers.size >= MAX_CLIENTS)
          return `${MAX_CLIENTS} clients are connected already; end one of them`;
        newcomers.leave(client);
        return null;
      },
    });
    clients.add(client);
    newcomers.enter(client);
    socket.once('close', () => {
      newcomers.leave(client);
      clients.delete(client);
    });
  });
  await listenPrivately(server, options.path);
  // A failed accept (e.g. no file descriptor left) is the client's loss, not the daemon's end.
  server.on('error', () => undefined);

  let closing: Promise<void> | null = null;
  return {
    close() {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        for (const client of clients) client.close();
      });
      return closing;
    },
  };
}
