/** How adverts reach the other nodes: IP protocol 112 where that is possible, else UDP between hastate nodes. */
import { describeError, NetError } from '../model/errors.ts';
import type { NetLog } from './log.ts';
import type { AdvertProtocol } from './raw-options.ts';
import type { AddressFamily } from './raw-port.ts';
import { openRawAdverts } from './raw-socket.ts';
import { openUdpAdverts } from './udp-advert.ts';

export interface AdvertMeta {
  /** Address of the sender, without a zone. */
  readonly source: string;
  /** Where it was sent to, which enters VRRP's checksum; null where the system does not say. */
  readonly destination: string | null;
  /** TTL or hop limit; null where the transport has none to check. */
  readonly ttl: number | null;
  /** ms, monotonic. */
  readonly at: number;
}

export type AdvertListener = (packet: Buffer, meta: AdvertMeta) => void;

/** The packet for one way; addresses are null where the transport does not know them. */
export type PacketFor = (way: {
  readonly source: string | null;
  readonly destination: string | null;
}) => Buffer;

export interface AdvertTransport {
  readonly kind: 'raw' | 'udp';
  readonly family: AddressFamily;
  /** The address that the others see as ours, as it is now. */
  source(): string | null;
  /** Why this kind and not the one that was preferred. */
  readonly why?: string;
  /** What this kind cannot check here, for status. */
  readonly note?: string;
  /** Sends at once, to the group or to every unicast peer. Returns the error's text, or null. */
  send(packet: Buffer | PacketFor): string | null;
  /** Several listeners may share a transport. The packet is only theirs during the call. */
  onAdvert(listener: AdvertListener): void;
  /** A valid advert came from there: a flood of others no longer holds up what it sends. */
  vouch(source: string): void;
  /** Delivers everything that waits. @see drainTurns */
  drain(maxTurns?: number, maxMs?: number): Promise<{ datagrams: number }>;
  /** Datagrams by `received`, `sent`, `send-error` and reason of refusal. */
  counters(): Record<string, number>;
  close(): void;
}

export interface AdvertTransportOptions {
  readonly transport: 'auto' | 'raw' | 'udp';
  readonly interface: string;
  /** Default 4. */
  readonly family?: AddressFamily;
  /** Raw: send to these instead of the group, and hear only them; empty = the group. */
  readonly unicast?: readonly string[];
  /** Shared addresses, which are never our source. */
  readonly shared?: readonly string[];
  /** Says how packets are marked and who fills in the checksum. Default carp. */
  readonly protocol?: AdvertProtocol;
  /** vhid or vrid: adverts of others are only counted. Default: all are heard. */
  readonly id?: number;
  /** Addresses of the other nodes, for UDP. */
  readonly peers: readonly string[];
  /** UDP port, on all nodes. */
  readonly port: number;
  /** Own addresses to listen on, for UDP; empty = every address. */
  readonly bind: readonly string[];
  readonly log: NetLog;
}

/**
 * @throws NetError of the transport that was asked for; with `auto` only when UDP fails too, with the
 *   reason against raw sockets in the message
 */
export async function openAdvertTransport(options: AdvertTransportOptions): Promise<AdvertTransport> {
  if (options.transport === 'udp') return openUdpAdverts(options);
  let why: string;
  try {
    return await openRawAdverts(options);
  } catch (error) {
    if (options.transport === 'raw') throw error;
    why = `no raw socket: ${describeError(error)}`;
  }
  options.log('warn', `${why}; adverts go by UDP port ${options.port}, which only hastate nodes understand`);
  try {
    return await openUdpAdverts({ ...options, why });
  } catch (cause) {
    throw new NetError('no-advert-transport', `adverts on ${options.interface} cannot be sent: ${why}`, {
      cause,
    });
  }
}
