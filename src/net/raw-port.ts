/** One raw socket of IP protocol 112, whatever opened it. @see carp-vrrp 3.1 */
import { NetError } from '../model/errors.ts';
import { missingCapability } from './capabilities.ts';

export const ADVERT_PROTOCOL = 112;

export type AddressFamily = 4 | 6;

/** What came in. Its bytes are the reader's during the call only. */
export interface RawDatagram {
  /** Behind the IP header. */
  readonly payload: Buffer;
  /** TTL or hop limit; null where it cannot be seen. */
  readonly ttl: number | null;
  readonly source: string;
  /** null where it cannot be seen. */
  readonly destination: string | null;
}

export interface RawPort {
  readonly how: 'koffi' | 'raw-socket';
  /** @throws Error of the system */
  setOption(level: number, option: number, value: Buffer): void;
  /** Sends at once. @returns the error's text, or null */
  send(packet: Buffer, to: string): string | null;
  /**
   * Delivers what waits, within bounds. @returns datagrams; null when the port delivers by itself only, one for
   * each turn of the event loop
   */
  read(): number | null;
  close(): void;
}

export interface RawPortOptions {
  readonly family: AddressFamily;
  /** Scope of link-local addresses. */
  readonly interfaceIndex: number;
  readonly interface: string;
  /** Never called when null: the port only sends. */
  readonly onDatagram: ((datagram: RawDatagram) => void) | null;
  readonly onError: (error: Error) => void;
}

/** Says which right is missing, where the system tells. */
export function refusedRawSocket(iface: string, cause: unknown): NetError {
  const missing = missingCapability('CAP_NET_RAW');
  const todo =
    missing === null
      ? 'see the cause'
      : `${missing} is missing: run as root, give it CAP_NET_RAW, or use transport udp`;
  return new NetError('raw-socket-refused', `no raw socket on ${iface}: ${todo}`, { cause });
}
