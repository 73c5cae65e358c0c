/** Two ends of a real TCP connection on loopback. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface TcpPair {
  /** The accepting end, not read from yet. */
  readonly near: Socket;
  readonly far: Socket;
  close(): void;
}

export async function tcpPair(): Promise<TcpPair> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  far.on('error', () => undefined);
  near.on('error', () => undefined);
  return {
    near,
    far,
    close() {
      near.destroy();
      far.destroy();
      server.close();
    },
  };
}

/** Resolves when the kernel took everything that was written. */
export async function written(socket: Socket, data: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.write(data, (error) => (error ? reject(error) : resolve()));
  });
}

export async function until(condition: () => boolean): Promise<void> {
  const limit = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > limit) throw new Error('the condition did not become true within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
