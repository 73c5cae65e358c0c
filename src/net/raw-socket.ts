/**
 * Adverts as IP protocol 112 to 224.0.0.18 through the raw-socket package, on one interface.
 * Works in the main thread only and needs the right to open raw sockets.
 * @see carp-vrrp 3.1, 3.2
 */
import { execa } from 'execa';

import { describeError, NetError } from '../model/errors.ts';
import { packIPv4 } from '../protocol/ip-address.ts';
import { decodeIPv4 } from '../protocol/ipv4.ts';
import type { AdvertListener, AdvertTransport, AdvertTransportOptions } from './advert-transport.ts';
import { drainTurns } from './drain.ts';
import { DropCounters } from './drop-counters.ts';
import { interfaceAddresses, interfaceIndex } from './interfaces.ts';
import { loadRawSocket } from './raw-module.ts';
import type { RawSocketHandle } from './raw-module.ts';

const PROTOCOL = 112;
const GROUP = '224.0.0.18';
const TTL = 255;
/** DSCP 56, as FreeBSD sends. */
const TOS = 0xe0;
const RECEIVE_BUFFER_BYTES = 1 << 20;

/** The package forgets sockets that nobody holds: the garbage collector would close them without a word. */
const held = new Set<RawSocketHandle>();

type RawAdvertOptions = Pick<
  AdvertTransportOptions,
  'interface' | 'log' | 'family' | 'unicast' | 'shared' | 'tos'
>;

/** @throws NetError `raw-socket-missing`, `raw-socket-refused`, `interface-missing`, `carp-in-kernel` */
export async function openRawAdverts(options: RawAdvertOptions): Promise<AdvertTransport> {
  const { interface: iface, log, tos = TOS } = options;
  const raw = loadRawSocket();
  const index = interfaceIndex(iface);
  if (process.platform === 'freebsd') await refuseKernelCarp();
  let socket: RawSocketHandle;
  try {
    socket = raw.createSocket({
      protocol: PROTOCOL,
      addressFamily: raw.AddressFamily.IPv4,
      bufferSize: 2048,
    });
  } catch (cause) {
    throw refused(iface, cause);
  }
  const drops = new DropCounters(`adverts on ${iface}`, log);
  socket.on('error', (error) => drops.drop('socket-error', error.message));
  try {
    if (process.platform === 'freebsd') joinOnFreeBSD(socket, iface, tos);
    else joinOnLinux(socket, iface, index, tos);
  } catch (cause) {
    socket.close();
    throw refused(iface, cause);
  }
  held.add(socket);
  return transportOver(socket, drops, options);
}

function transportOver(
  socket: RawSocketHandle,
  drops: DropCounters,
  options: RawAdvertOptions,
): AdvertTransport {
  const { unicast = [], shared = [] } = options;
  const ownSource = (): string | null =>
    interfaceAddresses(options.interface).find(
      (address) => !address.includes(':') && !shared.includes(address),
    ) ?? null;
  const listeners: AdvertListener[] = [];
  const count = { received: 0, sent: 0, sendErrors: 0 };
  let closed = false;

  const receive = (datagram: Buffer): void => {
    const header = decodeIPv4(datagram);
    if (header.protocol !== PROTOCOL) {
      drops.drop('other-protocol');
      return;
    }
    const packet = Buffer.from(datagram.subarray(header.headerBytes));
    const meta = {
      source: header.source,
      destination: header.destination,
      ttl: header.ttl,
      at: performance.now(),
    };
    for (const listener of listeners) {
      // What a listener throws would come back as an error of the socket.
      try {
        listener(packet, meta);
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    }
  };
  socket.on('message', (datagram) => {
    count.received += 1;
    try {
      receive(datagram);
    } catch (error) {
      drops.drop('no-ip-header', describeError(error));
    }
  });
  socket.on('close', () => {
    held.delete(socket);
    if (!closed) drops.drop('socket-closed', 'the system closed the raw socket; nothing is heard any more');
    closed = true;
  });
  return {
    kind: 'raw',
    family: 4,
    source: ownSource,
    send: (packet) => {
      if (closed) return 'the raw socket is closed';
      try {
        for (const destination of unicast.length === 0 ? [GROUP] : unicast) {
          const bytes = typeof packet === 'function' ? packet({ source: ownSource(), destination }) : packet;
          socket.wrap.send(bytes, 0, bytes.length, destination, () => undefined);
          count.sent += 1;
        }
        return null;
      } catch (error) {
        count.sendErrors += 1;
        return describeError(error);
      }
    },
    onAdvert: (listener) => void listeners.push(listener),
    drain: (maxTurns, maxMs) => drainTurns(() => count.received, maxTurns, maxMs),
    counters: () => ({
      ...drops.counts(),
      received: count.received,
      sent: count.sent,
      'send-error': count.sendErrors,
    }),
    close: () => {
      if (closed) return;
      closed = true;
      held.delete(socket);
      socket.close();
    },
  };
}

function joinOnLinux(socket: RawSocketHandle, iface: string, index: number, tos: number): void {
  const LEVEL = { socket: 1, ip: 0 };
  const SOCKET = { receiveBuffer: 8, bindToDevice: 25 };
  const IP = {
    tos: 1,
    ttl: 2,
    mtuDiscover: 10,
    multicastIf: 32,
    multicastTtl: 33,
    multicastLoop: 34,
    addMembership: 35,
    multicastAll: 49,
  };
  // Binding comes first: until then the socket hears protocol 112 of every interface.
  const name = Buffer.from(`${iface}\0`);
  socket.setOption(LEVEL.socket, SOCKET.bindToDevice, name, name.length);
  const membership = Buffer.alloc(12);
  packIPv4(GROUP).copy(membership);
  membership.set(int(index), 8);
  for (const [level, option, value] of [
    [LEVEL.socket, SOCKET.receiveBuffer, int(RECEIVE_BUFFER_BYTES)],
    [LEVEL.ip, IP.multicastAll, int(0)],
    [LEVEL.ip, IP.addMembership, membership],
    [LEVEL.ip, IP.multicastIf, membership],
    [LEVEL.ip, IP.ttl, int(TTL)],
    [LEVEL.ip, IP.multicastTtl, int(TTL)],
    [LEVEL.ip, IP.multicastLoop, int(0)],
    [LEVEL.ip, IP.tos, int(tos)],
    [LEVEL.ip, IP.mtuDiscover, int(2)],
  ] as const) {
    socket.setOption(level, option, value, value.length);
  }
}

/** No binding to a device there: the membership alone says which interface is heard. */
function joinOnFreeBSD(socket: RawSocketHandle, iface: string, tos: number): void {
  const IP_LEVEL = 0;
  const IP = {
    tos: 3,
    multicastIf: 9,
    multicastTtl: 10,
    multicastLoop: 11,
    addMembership: 12,
    dontFragment: 67,
    minTtl: 66,
  };
  const own = interfaceAddresses(iface).find((address) => !address.includes(':'));
  if (own === undefined) {
    throw new NetError('no-ipv4-address', `interface ${iface} has no IPv4 address; give it one`);
  }
  const address = packIPv4(own);
  for (const [option, value] of [
    [IP.addMembership, Buffer.concat([packIPv4(GROUP), address])],
    [IP.multicastIf, address],
    [IP.multicastTtl, Buffer.from([TTL])],
    [IP.multicastLoop, Buffer.from([0])],
    [IP.minTtl, int(TTL)],
    [IP.tos, int(tos)],
    [IP.dontFragment, int(1)],
  ] as const) {
    socket.setOption(IP_LEVEL, option, value, value.length);
  }
}

async function refuseKernelCarp(): Promise<void> {
  const { exitCode } = await execa('kldstat', ['-q', '-m', 'carp'], { reject: false, timeout: 5000 });
  if (exitCode !== 0) return;
  throw new NetError(
    'carp-in-kernel',
    'the kernel module carp takes every advert for itself; unload it or use protocol kernel-carp',
  );
}

/** A C int in the machine's own byte order. */
function int(value: number): Buffer {
  return Buffer.from(Int32Array.of(value).buffer);
}

function refused(iface: string, cause: unknown): NetError {
  return new NetError(
    'raw-socket-refused',
    `no raw socket on ${iface}: run as root or with CAP_NET_RAW, or use transport udp`,
    { cause },
  );
}
