/**
 * Ethernet frames that tell a segment where an address lives now.
 * @see RFC 826 and RFC 5227 (gratuitous ARP request), RFC 4861 4.4 (unsolicited neighbour advertisement)
 */
import { packIPv4, packIPv6, unpackAddress } from './ip-address.ts';
import { internetChecksum } from './ipv4.ts';

const ARP_TYPE = 0x0806;
const BROADCAST = Buffer.alloc(6, 0xff);
/** All nodes: ff02::1 and its Ethernet group. */
const ALL_NODES = packIPv6('ff02::1');
const ALL_NODES_MAC = Buffer.from('333300000001', 'hex');

/** Broadcast ARP request for our own address. @param mac 6 bytes @throws WireError `ip-address` */
export function encodeGratuitousArp(mac: Buffer, address4: string): Buffer {
  const ip = packIPv4(address4);
  const head = Buffer.from('0001080006040001', 'hex');
  return Buffer.concat([ethernet(BROADCAST, mac, ARP_TYPE), head, mac, ip, BROADCAST, ip]);
}

/**
 * Broadcast question whether somebody has the address, from nobody: it changes no neighbour's table, and whoever
 * has it answers. Announcements are not answered by every system.
 * @param mac 6 bytes @throws WireError `ip-address`
 */
export function encodeArpProbe(mac: Buffer, address4: string): Buffer {
  const head = Buffer.from('0001080006040001', 'hex');
  const nobody = Buffer.alloc(4);
  const unknown = Buffer.alloc(6);
  return Buffer.concat([
    ...[ethernet(BROADCAST, mac, ARP_TYPE), head, mac, nobody],
    ...[unknown, packIPv4(address4)],
  ]);
}

const ARP_BYTES = 42;
/** Ethernet and IPv4, with their lengths. */
const ARP_HEAD = Buffer.from('000108000604', 'hex');
const ARP_AT = { type: 12, head: 14, senderMac: 22, senderAddress: 28 } as const;

/** Who says in an ARP frame that it has an address; null where it is no such frame, or a question without sender. */
export function senderOfArp(frame: Buffer): { readonly mac: string; readonly address4: string } | null {
  if (frame.length < ARP_BYTES || frame.readUInt16BE(ARP_AT.type) !== ARP_TYPE) return null;
  if (!frame.subarray(ARP_AT.head, ARP_AT.head + ARP_HEAD.length).equals(ARP_HEAD)) return null;
  const address4 = unpackAddress(frame.subarray(ARP_AT.senderAddress, ARP_AT.senderAddress + 4));
  if (address4 === '0.0.0.0') return null;
  const mac = frame.toString('hex', ARP_AT.senderMac, ARP_AT.senderMac + 6);
  return { mac: mac.replace(/(..)(?!$)/g, '$1:'), address4 };
}

/** Override set, solicited clear, hop limit 255. @param mac 6 bytes @throws WireError `ip-address` */
export function encodeNeighbourAdvert(mac: Buffer, address6: string, router = false): Buffer {
  const target = packIPv6(address6);
  const icmp = Buffer.concat([
    Buffer.from([136, 0, 0, 0, router ? 0xa0 : 0x20, 0, 0, 0]),
    target,
    Buffer.from([2, 1]),
    mac,
  ]);
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(icmp.length, 0);
  pseudo.writeUInt8(58, 7);
  icmp.writeUInt16BE(internetChecksum(target, ALL_NODES, pseudo, icmp), 2);
  const header = Buffer.from([0x60, 0, 0, 0, 0, icmp.length, 58, 255]);
  return Buffer.concat([ethernet(ALL_NODES_MAC, mac, 0x86dd), header, target, ALL_NODES, icmp]);
}

function ethernet(destination: Buffer, source: Buffer, type: number): Buffer {
  return Buffer.concat([destination, source, Buffer.from([type >> 8, type & 0xff])]);
}
