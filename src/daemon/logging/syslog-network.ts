/** syslog over the network. @see RFC 5424; by UDP RFC 5426, by TCP RFC 6587 section 3.4.1 (octet counting) */
import { Buffer } from 'node:buffer';
import { createSocket } from 'node:dgram';
import { isIPv6, connect, type Socket } from 'node:net';

import type { SyslogTransport } from './syslog-queue.ts';

const SEND_MS = 5000;

/** One datagram a line. */
export function udpTransport(host: string, port: number): SyslogTransport {
  const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4' });
  // Also what ICMP says: the next line is tried all the same.
  socket.on('error', () => undefined);
  socket.unref();
  return {
    target: `udp://${host}:${port}`,
    send: (line) =>
      new Promise((resolve, reject) => {
        socket.send(line, port, host, (error) => {
          if (error === null) resolve();
          else reject(error);
        });
      }),
    close() {
      socket.close();
    },
  };
}

/** One connection, made again when it is lost. A line that the kernel took counts as delivered. */
export function tcpTransport(host: string, port: number): SyslogTransport {
  let socket: Socket | null = null;
  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const made = connect({ host, port });
      made.unref();
      made.setTimeout(SEND_MS, () => made.destroy(new Error(`no connection within ${SEND_MS} ms`)));
      made.once('error', reject);
      made.once('connect', () => {
        made.setTimeout(0);
        made.off('error', reject);
        made.on('error', () => undefined);
        resolve(made);
      });
      made.once('close', () => {
        if (socket === made) socket = null;
      });
      // A syslog daemon says nothing; its end is seen by reading.
      made.resume();
    });
  return {
    target: `tcp://${host}:${port}`,
    async send(line) {
      socket ??= await open();
      await write(socket, frame(line));
    },
    close() {
      socket?.destroySoon();
    },
  };
}

function frame(line: string): string {
  return `${Buffer.byteLength(line)} ${line}`;
}

function write(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy(new Error(`it takes nothing for ${SEND_MS} ms`));
    }, SEND_MS);
    timer.unref();
    const onClose = (): void => {
      clearTimeout(timer);
      reject(new Error('the connection was lost'));
    };
    socket.once('close', onClose);
    socket.write(text, (error) => {
      clearTimeout(timer);
      socket.off('close', onClose);
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
