/**
 * Ethernet frames that tell a segment where an address lives now.
 * @see RFC 826 and RFC 5227 (gratuitous ARP request), RFC 4861 4.4 (unsolicited neighbour advertisement)
 */
import { ARP_REQUEST, ARP_TYPE, BROADCAST, ethernet, icmp6, IPV6_TYPE } from './ethernet.ts';
import { packIPv4, packIPv6 } from './ip-address.ts';

/** All nodes: ff02::1 and its Ethernet group. */
const ALL_NODES = packIPv6('ff02::1');
const ALL_NODES_MAC = Buffer.from('333300000001', 'hex');

/** Broadcast ARP request for our own address. @param mac 6 bytes @throws WireError `ip-address` */
export function encodeGratuitousArp(mac: Buffer, address4: string): Buffer {
  const ip = packIPv4(address4);
  return Buffer.concat([ethernet(BROADCAST, mac, ARP_TYPE), ARP_REQUEST, mac, ip, BROADCAST, ip]);
}

/** Override set, solicited clear, hop limit 255. @param mac 6 bytes @throws WireError `ip-address` */
export function encodeNeighbourAdvert(mac: Buffer, address6: string, router = false): Buffer {
  const target = packIPv6(address6);
  const advert = Buffer.concat([
    Buffer.from([136, 0, 0, 0, router ? 0xa0 : 0x20, 0, 0, 0]),
    target,
    Buffer.from([2, 1]),
    mac,
  ]);
  return Buffer.concat([ethernet(ALL_NODES_MAC, mac, IPV6_TYPE), icmp6(target, ALL_NODES, advert)]);
}
