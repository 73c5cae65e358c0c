/**
 * A raw socket by the optional `raw-socket` package, where koffi does not work (FreeBSD among others). Delivers one
 * datagram for each turn of the event loop and sees no hop limit of IPv6.
 * @see carp-vrrp 3.1
 */
import { createRequire } from 'node:module';

import { describeError, NetError } from '../model/errors.ts';
import { cInt } from './c-values.ts';
import { interfaceIndex } from './interfaces.ts';
import { DatagramWithHeader } from './raw-datagram.ts';
import { ADVERT_PROTOCOL, refusedRawSocket } from './raw-port.ts';
import type { RawDatagram, RawPort, RawPortOptions } from './raw-port.ts';

interface PackageSocket {
  on(event: 'message', listener: (packet: Buffer, source: string) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'close', listener: () => void): this;
  setOption(level: number, option: number, value: Buffer, length: number): void;
  pauseRecv(): void;
  close(): void;
  /** Sends synchronously and throws the error's text; `send` of the package waits for a writable turn. */
  readonly wrap: {
    send(packet: Buffer, offset: number, length: number, address: string, done: () => void): void;
  };
}

interface RawSocketModule {
  createSocket(options: { protocol: number; addressFamily: number; bufferSize: number }): PackageSocket;
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
}

const BUFFER_BYTES = 2048;

/** The package forgets sockets that nobody holds: the garbage collector would close them without a word. */
const held = new Set<PackageSocket>();

/** @throws NetError `raw-socket-missing`, `raw-socket-refused` */
export function openPackagePort(options: RawPortOptions): RawPort {
  const raw = loadRawSocket();
  const { family, onDatagram, onError } = options;
  let socket: PackageSocket;
  try {
    socket = raw.createSocket({
      protocol: ADVERT_PROTOCOL,
      addressFamily: family === 4 ? raw.AddressFamily.IPv4 : raw.AddressFamily.IPv6,
      bufferSize: BUFFER_BYTES,
    });
  } catch (cause) {
    throw refusedRawSocket(options.interface, cause);
  }
  held.add(socket);
  let closed = false;
  socket.on('error', onError);
  socket.on('close', () => {
    held.delete(socket);
    if (!closed)
      onError(new NetError('raw-socket', 'the system closed the raw socket; nothing is heard any more'));
    closed = true;
  });
  if (onDatagram === null) socket.pauseRecv();
  else socket.on('message', (bytes, source) => onDatagram(datagramOf(family, bytes, source)));
  return {
    how: 'raw-socket',
    setOption: (level, option, value) => socket.setOption(level, option, value, value.length),
    send: (packet, to) => {
      if (closed) return 'the raw socket is closed';
      try {
        const zone = to.startsWith('fe80:') || to.startsWith('ff02:') ? `%${options.interface}` : '';
        socket.wrap.send(packet, 0, packet.length, `${to}${zone}`, () => undefined);
        return null;
      } catch (error) {
        return describeError(error);
      }
    },
    read: () => null,
    close: () => {
      if (closed) return;
      closed = true;
      held.delete(socket);
      socket.close();
    },
  };
}

const ICMPV6 = 58;
const IPV6_LEVEL = 41;
const ALL_NODES = 'ff02::1';
const HOPS = 255;
/** IPV6_MULTICAST_IF and IPV6_MULTICAST_HOPS. */
const OPTIONS = process.platform === 'freebsd' ? { group: 9, hops: 10 } : { group: 17, hops: 18 };

/**
 * Sends neighbour advertisements to all nodes. The system fills in the checksum.
 * @param messages ICMPv6, without headers
 * @throws NetError `raw-socket-missing`, `raw-socket-refused`, `interface-missing`
 */
export function sendNeighbourAdverts(iface: string, messages: readonly Buffer[]): void {
  if (messages.length === 0) return;
  const raw = loadRawSocket();
  const index = cInt(interfaceIndex(iface));
  let socket: PackageSocket | null = null;
  try {
    socket = raw.createSocket({
      protocol: ICMPV6,
      addressFamily: raw.AddressFamily.IPv6,
      bufferSize: BUFFER_BYTES,
    });
    socket.pauseRecv();
    socket.setOption(IPV6_LEVEL, OPTIONS.group, index, index.length);
    socket.setOption(IPV6_LEVEL, OPTIONS.hops, cInt(HOPS), 4);
    for (const message of messages) {
      socket.wrap.send(message, 0, message.length, `${ALL_NODES}%${iface}`, () => undefined);
    }
  } catch (cause) {
    throw refusedRawSocket(iface, cause);
  } finally {
    socket?.close();
  }
}

function datagramOf(family: 4 | 6, bytes: Buffer, source: string): RawDatagram {
  if (family === 4) return new DatagramWithHeader(bytes);
  return { payload: bytes, ttl: null, source: source.split('%', 1)[0] ?? source, destination: null };
}

function loadRawSocket(): RawSocketModule {
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketModule;
  } catch (cause) {
    throw new NetError(
      'raw-socket-missing',
      'the optional package raw-socket is not installed or was built for another Node; reinstall to build it',
      { cause },
    );
  }
}
