/** UDP sockets that several users in this process share; the last one to let go closes them. */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

import { NetError } from '../model/errors.ts';

export interface SharedSocket {
  readonly address: string;
  readonly socket: Socket;
  /** Call once. */
  readonly release: () => void;
}

interface Entry {
  readonly socket: Promise<Socket>;
  users: number;
}

const entries = new Map<string, Entry>();

/** @throws NetError `udp-bind` */
export async function shareSocket(address: string, port: number): Promise<SharedSocket> {
  const key = `${address} ${port}`;
  const entry = entries.get(key) ?? { socket: bound(address, port), users: 0 };
  entries.set(key, entry);
  entry.users += 1;
  const release = (): void => {
    entry.users -= 1;
    if (entry.users > 0) return;
    entries.delete(key);
    entry.socket.then(
      (socket) => socket.close(),
      () => undefined,
    );
  };
  try {
    return { address, socket: await entry.socket, release };
  } catch (error) {
    release();
    throw error;
  }
}

async function bound(address: string, port: number): Promise<Socket> {
  const socket = isIPv6(address) ? createSocket({ type: 'udp6', ipv6Only: true }) : createSocket('udp4');
  try {
    socket.bind({ address, port });
    await once(socket, 'listening');
    // An error after the last user took its listener off must not end the process.
    return socket.on('error', () => undefined);
  } catch (cause) {
    socket.close();
    throw new NetError(
      'udp-bind',
      `cannot listen for adverts on ${address} UDP port ${port}; is another hastated running here?`,
      { cause },
    );
  }
}
