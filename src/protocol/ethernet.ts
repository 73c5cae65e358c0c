/** What frames of ARP and of ICMPv6 have in common. @see RFC 826, RFC 8200 section 3 and 8.1 */
import { internetChecksum } from './ipv4.ts';

export const ARP_TYPE = 0x0806;
export const IPV6_TYPE = 0x86dd;
export const BROADCAST = Buffer.alloc(6, 0xff);
/** Ethernet and IPv4 with their lengths, and that it is a request. */
export const ARP_REQUEST = Buffer.from('0001080006040001', 'hex');
export const ICMP6 = 58;
/** Who is on this link and nobody else can send it. */
export const ON_LINK_HOPS = 255;

/** @param destination and source: 6 bytes each */
export function ethernet(destination: Buffer, source: Buffer, type: number): Buffer {
  return Buffer.concat([destination, source, Buffer.from([type >> 8, type & 0xff])]);
}

/** An IPv6 packet from `source` (16 bytes) to `destination` (16 bytes). @param message its checksum is filled in */
export function icmp6(source: Buffer, destination: Buffer, message: Buffer): Buffer {
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(message.length, 0);
  pseudo.writeUInt8(ICMP6, 7);
  message.writeUInt16BE(internetChecksum(source, destination, pseudo, message), 2);
  const header = Buffer.from([0x60, 0, 0, 0, 0, message.length, ICMP6, ON_LINK_HOPS]);
  return Buffer.concat([header, source, destination, message]);
}
