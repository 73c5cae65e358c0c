/**
 * Ports that nobody uses at this moment, nor will before they are used: below those that the system gives to
 * connections, each worker of the tests from a range of its own.
 */
import { createSocket } from 'node:dgram';
import { createServer, type Server } from 'node:net';

const LOWEST = 12_000;
const RANGE = 5_000;
const RANGES = 4;
const range = (Number(process.env.VITEST_POOL_ID ?? 1) - 1) % RANGES;
let next = Math.floor(Math.random() * RANGE);

/** The first one of the range that can be had. */
async function find(tries: (port: number) => Promise<void>): Promise<number> {
  for (let left = RANGE; left > 0; left -= 1) {
    const port = LOWEST + range * RANGE + (next++ % RANGE);
    try {
      await tries(port);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no port from ${LOWEST + range * RANGE} on is free`);
}

export function freeTcpPort(host: string): Promise<number> {
  return find(async (port) => {
    const server = await holdTcpPort(host, port);
    await new Promise((resolve) => server.close(resolve));
  });
}

export function freeUdpPort(host: string): Promise<number> {
  return find(async (port) => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, host, resolve);
    }).finally(() => socket.close());
  });
}

/** Somebody else's server: the port is in use until it is closed. */
export async function holdTcpPort(host: string, port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}
