/**
 * Ethernet frames by which it is asked and heard who else has an address.
 * @see RFC 5227 (ARP), RFC 4861 4.3, 4.4 and 7.1.2, RFC 4862 5.4 (IPv6)
 */
import {
  ARP_REQUEST,
  ARP_TYPE,
  BROADCAST,
  ethernet,
  ICMP6,
  icmp6,
  IPV6_TYPE,
  ON_LINK_HOPS,
} from './ethernet.ts';
import { packIPv4, packIPv6, unpackAddress } from './ip-address.ts';

/** Somebody says that it has the address; IPv6 as RFC 5952 writes it. */
export interface Claim {
  readonly mac: string;
  readonly address: string;
}

/**
 * Broadcast question whether somebody has the address, from nobody: it changes no neighbour's table, and whoever
 * has it answers. Announcements are not answered by every system.
 * @param mac 6 bytes @throws WireError `ip-address`
 */
export function encodeArpProbe(mac: Buffer, address4: string): Buffer {
  const nobody = Buffer.alloc(4);
  const unknown = Buffer.alloc(6);
  return Buffer.concat([
    ...[ethernet(BROADCAST, mac, ARP_TYPE), ARP_REQUEST, mac, nobody],
    ...[unknown, packIPv4(address4)],
  ]);
}

/** The same question for IPv6; the answer goes to all nodes. @param mac 6 bytes @throws WireError `ip-address` */
export function encodeNeighbourProbe(mac: Buffer, address6: string): Buffer {
  const target = packIPv6(address6);
  const nobody = Buffer.alloc(16);
  const tail = target.subarray(13);
  const group = Buffer.concat([packIPv6('ff02::1:ff00:0').subarray(0, 13), tail]);
  const groupMac = Buffer.concat([Buffer.from('3333ff', 'hex'), tail]);
  const question = Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), target]);
  return Buffer.concat([ethernet(groupMac, mac, IPV6_TYPE), icmp6(nobody, group, question)]);
}

const TYPE_AT = 12;
const ARP_BYTES = 42;
const ARP_HEAD = ARP_REQUEST.subarray(0, 6);
const ARP_AT = { head: 14, senderMac: 22, senderAddress: 28 } as const;

/** Who says it in an ARP frame; null where it is no such frame, or a question without sender. */
export function claimInArp(frame: Buffer): Claim | null {
  if (frame.length < ARP_BYTES || frame.readUInt16BE(TYPE_AT) !== ARP_TYPE) return null;
  if (!frame.subarray(ARP_AT.head, ARP_AT.head + ARP_HEAD.length).equals(ARP_HEAD)) return null;
  const address = unpackAddress(frame.subarray(ARP_AT.senderAddress, ARP_AT.senderAddress + 4));
  return address === '0.0.0.0' ? null : { mac: macAt(frame, ARP_AT.senderMac), address };
}

const ADVERT_BYTES = 78;
/** Fields of a neighbour advertisement, by their offset in the frame. */
export const ADVERT_AT = { type: TYPE_AT, next: 20, hops: 21, icmpType: 54, code: 55, target: 62 } as const;
export const NEIGHBOUR_ADVERT = 136;

/** Who says it in a neighbour advertisement; null where it is none. Its checksum is left to who acts on it. */
export function claimInAdvert(frame: Buffer): Claim | null {
  if (frame.length < ADVERT_BYTES || frame.readUInt16BE(ADVERT_AT.type) !== IPV6_TYPE) return null;
  const { [ADVERT_AT.next]: next, [ADVERT_AT.hops]: hops, [ADVERT_AT.code]: code } = frame;
  if (next !== ICMP6 || hops !== ON_LINK_HOPS || code !== 0) return null;
  if (frame[ADVERT_AT.icmpType] !== NEIGHBOUR_ADVERT) return null;
  return { mac: macAt(frame, 6), address: unpackAddress(frame.subarray(ADVERT_AT.target, ADVERT_BYTES)) };
}

function macAt(frame: Buffer, offset: number): string {
  return frame.toString('hex', offset, offset + 6).replace(/(..)(?!$)/g, '$1:');
}
