/**
 * Ethernet frames that tell a segment where an address lives now.
 * @see RFC 826 and RFC 5227 (gratuitous ARP request), RFC 4861 4.4 (unsolicited neighbour advertisement)
 */
import { packIPv4, packIPv6 } from './ip-address.ts';
import { internetChecksum } from './ipv4.ts';

const BROADCAST = Buffer.alloc(6, 0xff);
/** All nodes: ff02::1 and its Ethernet group. */
const ALL_NODES = packIPv6('ff02::1');
const ALL_NODES_MAC = Buffer.from('333300000001', 'hex');

/** Broadcast ARP request for our own address. @param mac 6 bytes @throws WireError `ip-address` */
export function encodeGratuitousArp(mac: Buffer, address4: string): Buffer {
  const ip = packIPv4(address4);
  const head = Buffer.from('0001080006040001', 'hex');
  return Buffer.concat([ethernet(BROADCAST, mac, 0x0806), head, mac, ip, BROADCAST, ip]);
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
