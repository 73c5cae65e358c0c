/**
 * The control socket: hastctl's frames and our JSON lines on one unix socket of mode 0600.
 * The first byte tells them apart. @see protocols: hast section 9, src/protocol/control.ts
 */
import { createServer } from 'node:net';
import { ControlClient } from './control-server-client.ts';
import type { ControlHandlers } from './control-server-client.ts';
import { listenPrivately } from './control-server-socket.ts';

const MAX_CLIENTS = 64;

export interface ControlServerOptions extends ControlHandlers {
  readonly path: string;
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
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const client = new ControlClient(socket, options);
    if (clients.size >= MAX_CLIENTS) {
      client.leave(0, 'too-many-clients', `${MAX_CLIENTS} clients are connected already; end one of them`);
      return;
    }
    clients.add(client);
    socket.once('close', () => clients.delete(client));
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
