/**
 * Adverts as IP protocol 112 to 224.0.0.18 or ff02::12, or to each peer, on one interface.
 * Works in the main thread only and needs the right to open raw sockets.
 * @see carp-vrrp 3.1, 3.2
 */
import { execa } from 'execa';

import { NetError } from '../model/errors.ts';
import type {
  AdvertListener,
  AdvertMeta,
  AdvertTransport,
  AdvertTransportOptions,
} from './advert-transport.ts';
import { drainTurns } from './drain.ts';
import { DropCounters } from './drop-counters.ts';
import { ADVERT_GROUP } from './raw-options.ts';
import type { AddressFamily, RawDatagram } from './raw-port.ts';
import { joinSegment } from './raw-segment.ts';
import type { SegmentUser } from './raw-segment.ts';
import { addressOf } from '../protocol/ip-address.ts';

/** @throws NetError `raw-socket-missing`, `raw-socket-refused`, `interface-missing`, `carp-in-kernel` */
export async function openRawAdverts(options: AdvertTransportOptions): Promise<AdvertTransport> {
  if (process.platform === 'freebsd') await refuseKernelCarp();
  const { interface: iface, family = 4, protocol = 'carp', id = null, shared = [], log } = options;
  const drops = new DropCounters(`${protocol}${id === null ? '' : ` ${id}`} on ${iface}`, log);
  const peers = new Set(options.unicast);
  const destinations = peers.size > 0 ? [...peers] : [ADVERT_GROUP[family]];
  const listeners: AdvertListener[] = [];
  const count = { received: 0, sent: 0, sendErrors: 0 };
  let closed = false;

  const receive = (datagram: RawDatagram, at: number): void => {
    count.received += 1;
    const { source } = datagram;
    if (peers.size > 0 && !peers.has(source)) {
      drops.drop('not-a-peer', `${source} is not a configured peer`, at);
      return;
    }
    const meta: AdvertMeta = { source, destination: datagram.destination, ttl: datagram.ttl, at };
    for (const listener of listeners) {
      // What a listener throws must not end the reading of the others' adverts.
      try {
        listener(datagram.payload, meta);
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    }
  };
  const user: SegmentUser = { id, shared: shared.map(addressOf), receive };
  const segment = joinSegment(iface, family, log, user);
  try {
    segment.sender(protocol);
  } catch (error) {
    segment.leave(user);
    throw error;
  }
  const sendTo = (packet: Buffer, to: string): string | null => {
    const error = segment.send(protocol, packet, to);
    if (error === null) count.sent += 1;
    else count.sendErrors += 1;
    return error;
  };
  return {
    kind: 'raw',
    family,
    ...hopLimitNote(family, segment.how),
    source: () => segment.source(),
    send: (packet) => {
      if (closed) return 'the raw socket is closed';
      const source = segment.source();
      const errors = destinations.map((destination) => {
        const bytes = typeof packet === 'function' ? packet({ source, destination }) : packet;
        return sendTo(bytes, destination);
      });
      return errors.find((error) => error !== null) ?? null;
    },
    onAdvert: (listener) => void listeners.push(listener),
    vouch: (source) => segment.vouch(source),
    drain: (maxTurns, maxMs) =>
      drainTurns(
        () => segment.received,
        maxTurns,
        maxMs,
        () => segment.read(),
      ),
    counters: () => ({
      ...segment.counters(),
      ...drops.counts(),
      received: count.received,
      sent: count.sent,
      'send-error': count.sendErrors,
    }),
    close: () => {
      if (closed) return;
      closed = true;
      segment.leave(user);
    },
  };
}

function hopLimitNote(family: AddressFamily, how: 'koffi' | 'raw-socket'): { note?: string } {
  if (family === 4 || how === 'koffi') return {};
  const rule = 'ip6 nexthdr 112 ip6 hoplimit != 255 drop';
  return {
    note: `the hop limit of IPv6 adverts cannot be seen without koffi: let a firewall check it (nft: ${rule})`,
  };
}

async function refuseKernelCarp(): Promise<void> {
  const { exitCode } = await execa('kldstat', ['-q', '-m', 'carp'], { reject: false, timeout: 5000 });
  if (exitCode !== 0) return;
  throw new NetError(
    'carp-in-kernel',
    'the kernel module carp takes every advert for itself; unload it or use protocol kernel-carp',
  );
}
