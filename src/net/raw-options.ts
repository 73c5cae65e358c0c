/**
 * Socket options that make a raw socket one of adverts on one interface.
 * @see carp-vrrp 3.1, 3.2
 */
import { packIPv4, packIPv6 } from '../protocol/ip-address.ts';
import { cInt } from './c-values.ts';
import type { AddressFamily, RawPort } from './raw-port.ts';

export const ADVERT_GROUP: Readonly<Record<AddressFamily, string>> = { 4: '224.0.0.18', 6: 'ff02::12' };

export type AdvertProtocol = 'carp' | 'vrrp2' | 'vrrp3';

/** TTL and hop limit: a receiver knows by it that an advert came from its own segment. */
const HOPS = 255;
/** DSCP 56 as FreeBSD sends; VRRP has 48. */
const TRAFFIC_CLASS: Readonly<Record<AdvertProtocol, number>> = { carp: 0xe0, vrrp2: 0xc0, vrrp3: 0xc0 };
/** Where VRRPv3 has its checksum: over IPv6 the kernel fills it in, as only it knows the source address. */
const CHECKSUM_OFFSET = 6;
/** 200 ms of a flood of 50,000 datagrams a second: the kernel counts about 800 bytes for each. */
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** For sockets that only send: the kernel makes it its least. */
const NO_RECEIVE_BUFFER = 1;

const LINUX = {
  socket: { level: 1, receiveBuffer: 8, bindToDevice: 25, receiveBufferForce: 33 },
  4: {
    level: 0,
    class: 1,
    mtuDiscover: 10,
    group: 32,
    hops: 33,
    loop: 34,
    join: 35,
    all: 49,
    unicastHops: 2,
  },
  6: { level: 41, class: 67, checksum: 7, group: 17, hops: 18, loop: 19, join: 20, all: 29, unicastHops: 16 },
} as const;
const FREEBSD = {
  socket: { level: 0xffff, receiveBuffer: 0x1002 },
  4: {
    level: 0,
    class: 3,
    group: 9,
    hops: 10,
    loop: 11,
    join: 12,
    minTtl: 66,
    dontFragment: 67,
    unicastHops: 4,
  },
  6: { level: 41, class: 61, checksum: 26, group: 9, hops: 10, loop: 11, join: 12, unicastHops: 4 },
} as const;

export interface AdvertSocketPlace {
  readonly family: AddressFamily;
  readonly interface: string;
  readonly interfaceIndex: number;
  /** Own address to send from; IPv4 only, null when there is none yet. */
  readonly source: string | null;
}

/** Makes it hear the group on the interface. @throws Error of the system */
export function setReceiving(port: RawPort, place: AdvertSocketPlace): void {
  if (process.platform === 'freebsd') {
    const { level, receiveBuffer } = FREEBSD.socket;
    port.setOption(level, receiveBuffer, cInt(RECEIVE_BUFFER_BYTES >> 4));
    const ip = FREEBSD[place.family];
    port.setOption(ip.level, ip.join, membership(place));
    if (place.family === 4) port.setOption(ip.level, FREEBSD[4].minTtl, cInt(HOPS));
    return;
  }
  // Binding comes first: until then the socket hears protocol 112 of every interface.
  bindToInterface(port, place);
  setReceiveBuffer(port);
  const ip = LINUX[place.family];
  port.setOption(ip.level, ip.all, cInt(0));
  port.setOption(ip.level, ip.join, membership(place));
}

/** Makes what it sends an advert of that protocol. @throws Error of the system */
export function setSending(port: RawPort, place: AdvertSocketPlace, protocol: AdvertProtocol): void {
  const freebsd = process.platform === 'freebsd';
  if (!freebsd) {
    bindToInterface(port, place);
    port.setOption(LINUX.socket.level, LINUX.socket.receiveBuffer, cInt(NO_RECEIVE_BUFFER));
    if (place.family === 4) port.setOption(LINUX[4].level, LINUX[4].mtuDiscover, cInt(2));
  } else if (place.family === 4) {
    port.setOption(FREEBSD[4].level, FREEBSD[4].dontFragment, cInt(1));
  }
  const ip = (freebsd ? FREEBSD : LINUX)[place.family];
  setSource(port, place);
  const oneByte = freebsd && place.family === 4;
  port.setOption(ip.level, ip.hops, oneByte ? Buffer.from([HOPS]) : cInt(HOPS));
  port.setOption(ip.level, ip.loop, oneByte ? Buffer.from([0]) : cInt(0));
  port.setOption(ip.level, ip.unicastHops, cInt(HOPS));
  port.setOption(ip.level, ip.class, cInt(TRAFFIC_CLASS[protocol]));
  if (place.family === 6 && protocol === 'vrrp3') {
    port.setOption(ip.level, (freebsd ? FREEBSD : LINUX)[6].checksum, cInt(CHECKSUM_OFFSET));
  }
}

/** The interface, and over IPv4 the address, that multicast leaves from. @throws Error of the system */
export function setSource(port: RawPort, place: AdvertSocketPlace): void {
  const ip = (process.platform === 'freebsd' ? FREEBSD : LINUX)[place.family];
  if (place.family === 6) port.setOption(ip.level, ip.group, cInt(place.interfaceIndex));
  else if (process.platform === 'freebsd') port.setOption(ip.level, ip.group, own(place));
  else port.setOption(ip.level, ip.group, membership(place));
}

/** ipv6_mreq, ip_mreqn, or where an index is not understood ip_mreq: which group on which interface. */
function membership(place: AdvertSocketPlace): Buffer {
  const index = cInt(place.interfaceIndex);
  if (place.family === 6) return Buffer.concat([packIPv6(ADVERT_GROUP[6]), index]);
  const group = packIPv4(ADVERT_GROUP[4]);
  return Buffer.concat(process.platform === 'freebsd' ? [group, own(place)] : [group, own(place), index]);
}

function own({ source }: AdvertSocketPlace): Buffer {
  return source === null ? Buffer.alloc(4) : packIPv4(source);
}

function bindToInterface(port: RawPort, place: AdvertSocketPlace): void {
  const { level, bindToDevice } = LINUX.socket;
  port.setOption(level, bindToDevice, Buffer.from(`${place.interface}\0`));
}

function setReceiveBuffer(port: RawPort): void {
  const { level, receiveBuffer, receiveBufferForce } = LINUX.socket;
  try {
    // Beyond the system's limit; needs CAP_NET_ADMIN.
    port.setOption(level, receiveBufferForce, cInt(RECEIVE_BUFFER_BYTES));
  } catch {
    port.setOption(level, receiveBuffer, cInt(RECEIVE_BUFFER_BYTES));
  }
}
