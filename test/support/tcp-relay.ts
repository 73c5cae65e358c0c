/** Carries connections on, remembers what passed, can cut them and fall silent. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export interface RelayTarget {
  readonly host: string;
  readonly port: number;
  /** Where the relay connects from; any address by default. */
  readonly from?: string;
}

/** `near` is who connects to the relay. */
export type RelayEnd = 'near' | 'far';

interface Direction {
  readonly from: Socket;
  readonly to: Socket;
  readonly towards: RelayEnd;
}

export class TcpRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #passed: Buffer[] = [];
  readonly #asked: Buffer[] = [];
  readonly #directions = new Set<Direction>();
  readonly #silent = new Set<RelayEnd>();

  private constructor(target: RelayTarget) {
    this.#server = createServer((near) => {
      const far = connect({ host: target.host, port: target.port, localAddress: target.from });
      near.on('data', (chunk: Buffer) => this.#asked.push(chunk));
      this.#join({ from: near, to: far, towards: 'far' });
      this.#join({ from: far, to: near, towards: 'near' });
    });
  }

  #join(direction: Direction): void {
    const { from, to, towards } = direction;
    this.#sockets.add(from);
    this.#directions.add(direction);
    from.on('data', (chunk: Buffer) => this.#passed.push(chunk));
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#sockets.delete(from);
      this.#directions.delete(direction);
      // Who is behind a dead line does not see the other end go either.
      if (!this.#silent.has(towards)) to.destroy();
    });
    if (this.#silent.has(towards)) from.pause();
    else from.pipe(to);
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

  /** Nothing arrives at these ends any more, on new connections neither, and nobody is told: as on a dead line. */
  hush(...ends: readonly RelayEnd[]): void {
    for (const end of ends) this.#silent.add(end);
    for (const { from, to, towards } of this.#directions) {
      if (!this.#silent.has(towards)) continue;
      from.unpipe(to);
      from.pause();
    }
  }

  /** Takes hush() back. What was open then is over. */
  heal(): void {
    this.#silent.clear();
    this.cut();
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
