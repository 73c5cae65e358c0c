/** A real hastd secondary played from its captured bytes: takes the connections of a primary one by one. */
import { createServer, type Server, type Socket } from 'node:net';

import { PlayedConnection } from './played-connection.ts';

const PATIENCE_MS = 15_000;

export class PlayedSecondary {
  readonly #server: Server;
  #waiting: ((connection: PlayedConnection) => void) | null = null;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => this.#take(socket));
  }

  static async listen(port: number, host: string): Promise<PlayedSecondary> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    return new PlayedSecondary(server);
  }

  /** The next connection. Whoever comes while nobody waits is turned away, as by a node that is off. */
  next(): Promise<PlayedConnection> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the primary did not connect')), PATIENCE_MS);
      this.#waiting = (connection) => {
        clearTimeout(timer);
        resolve(connection);
      };
    });
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(socket: Socket): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) socket.on('error', () => undefined).destroy();
    else waiting(new PlayedConnection(socket));
  }
}
