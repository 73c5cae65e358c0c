/** Ports that nobody uses at this moment. */
import { createSocket } from 'node:dgram';
import { createServer, type Server } from 'node:net';

export async function freeTcpPort(host: string): Promise<number> {
  const server = await holdTcpPort(host, 0);
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error(`no port on ${host}`);
  return address.port;
}

export async function freeUdpPort(host: string): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, host, resolve);
  });
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
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
