/**
 * The same 36-byte adverts by UDP unicast, for nodes without the right to open raw sockets.
 * Only datagrams from configured peers are taken; there is no TTL to check, the digest must do.
 */
import type { RemoteInfo } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';

import { NetError } from '../model/errors.ts';
import type { AdvertListener, AdvertTransport } from './advert-transport.ts';
import { drainTurns } from './drain.ts';
import { DropCounters } from './drop-counters.ts';
import type { NetLog } from './log.ts';
import { shareSocket } from './shared-udp.ts';
import type { SharedSocket } from './shared-udp.ts';

export interface UdpAdvertOptions {
  /** Addresses or host names of the other nodes; names are looked up once. */
  readonly peers: readonly string[];
  readonly port: number;
  /** Own addresses; empty = every address of both families. */
  readonly bind: readonly string[];
  readonly log: NetLog;
  readonly why?: string;
}

/**
 * Several groups may open the same port: they share its sockets, and the last to close ends them.
 * @throws NetError `udp-bind`, `peer-unknown`, `no-advert-peer`
 */
export async function openUdpAdverts(options: UdpAdvertOptions): Promise<AdvertTransport> {
  if (options.peers.length === 0) {
    throw new NetError(
      'no-advert-peer',
      'adverts by UDP need the address of the other node; add `peer` under `nodes`',
    );
  }
  const peers = await Promise.all(options.peers.map(resolve));
  const own = options.bind.length > 0 ? options.bind : everyAddressFor(peers);
  const sockets: SharedSocket[] = [];
  try {
    for (const address of own) sockets.push(await shareSocket(address, options.port));
  } catch (error) {
    for (const socket of sockets) socket.release();
    throw error;
  }
  return transportOver(sockets, peers, options);
}

function transportOver(
  shared: readonly SharedSocket[],
  peers: readonly string[],
  options: UdpAdvertOptions,
): AdvertTransport {
  const drops = new DropCounters(`adverts on UDP port ${options.port}`, options.log);
  const listeners: AdvertListener[] = [];
  const count = { received: 0, sent: 0, sendErrors: 0 };
  let closed = false;
  let lastError: string | null = null;

  const receive = (packet: Buffer, sender: RemoteInfo): void => {
    count.received += 1;
    const source = plain(sender.address);
    if (!peers.includes(source)) {
      drops.drop('not-a-peer', `${source} is not a configured peer`);
      return;
    }
    const meta = { source, destination: null, ttl: null, at: performance.now() };
    for (const listener of listeners) listener(packet, meta);
  };
  const broke = (error: Error): void => drops.drop('socket-error', error.message);
  for (const { socket } of shared) socket.on('message', receive).on('error', broke);

  const sendTo = (peer: string, packet: Buffer): string | null => {
    const from = shared.find(({ address }) => isIPv6(address) === isIPv6(peer));
    if (from === undefined) return `no own address of the family of peer ${peer}`;
    from.socket.send(packet, options.port, peer, (error) => {
      lastError = error?.message ?? lastError;
      if (error === null) count.sent += 1;
      else count.sendErrors += 1;
    });
    return null;
  };
  return {
    kind: 'udp',
    family: peers.every((peer) => isIPv6(peer)) ? 6 : 4,
    source: () => options.bind[0] ?? null,
    ...(options.why === undefined ? {} : { why: options.why }),
    // Node tells the outcome of a send later: what is returned is the last failure since the call before.
    send: (packet) => {
      if (closed) return 'the UDP socket is closed';
      const known = lastError;
      lastError = null;
      const bytes = typeof packet === 'function' ? packet({ source: null, destination: null }) : packet;
      return peers.map((peer) => sendTo(peer, bytes)).find((error) => error !== null) ?? known;
    },
    onAdvert: (listener) => void listeners.push(listener),
    // Nobody else than the peers is heard.
    vouch: () => undefined,
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
      for (const { socket, release } of shared) {
        socket.off('message', receive).off('error', broke);
        release();
      }
    },
  };
}

async function resolve(host: string): Promise<string> {
  if (isIP(host) !== 0) return plain(host);
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new NetError('peer-unknown', `peer ${host} has no address; use a number or add it to /etc/hosts`, {
      cause,
    });
  }
}

function everyAddressFor(peers: readonly string[]): string[] {
  const families = new Set(peers.map((peer) => (isIPv6(peer) ? '::' : '0.0.0.0')));
  return [...families];
}

function plain(address: string): string {
  return address.split('%', 1)[0] ?? address;
}
