/** Carries connections on, remembers what passed, and can cut them. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export interface RelayTarget {
  readonly host: string;
  readonly port: number;
  /** Where the relay connects from; any address by default. */
  readonly from?: string;
}

export class TcpRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #passed: Buffer[] = [];
  readonly #asked: Buffer[] = [];

  private constructor(target: RelayTarget) {
    this.#server = createServer((near) => {
      const far = connect({ host: target.host, port: target.port, localAddress: target.from });
      near.on('data', (chunk: Buffer) => this.#asked.push(chunk));
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on('data', (chunk: Buffer) => this.#passed.push(chunk));
        one.on('error', () => undefined);
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  }

  static async start(host: string, target: RelayTarget): Promise<TcpRelay> {
    const relay = new TcpRelay(target);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once('error', reject).listen(0, host, resolve);
    });
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** All that passed, in both directions. */
  get passed(): Buffer {
    return Buffer.concat(this.#passed);
  }

  /** What came from those who connected. */
  get asked(): Buffer {
    return Buffer.concat(this.#asked);
  }

  /** Ends every connection; new ones are carried. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}
