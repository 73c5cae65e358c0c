/**
 * Ethernet frames on Linux through the optional koffi: Node has no AF_PACKET. 20-200 us per frame.
 * The kernel needs 10 to 40 ms to close such a socket, so nobody waits for that.
 */
import { NetError } from '../model/errors.ts';
import { missingCapability } from './capabilities.ts';
import { interfaceIndex } from './interfaces.ts';
import { type Libc, loadLibc } from './libc.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const LINK_ADDRESS_BYTES = 20;

/** All frames leave by this one, whatever the interface. */
let sender: number | null = null;

/** Linux's sockaddr_ll. @param type EtherType that is to come in; 0 = none. @throws NetError `interface-missing` */
export function linkAddress(iface: string, type = 0): Buffer {
  const address = Buffer.alloc(LINK_ADDRESS_BYTES);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(type, 2);
  address.writeInt32LE(interfaceIndex(iface), 4);
  return address;
}

/** @returns a descriptor on which nothing comes in before it is bound to a linkAddress(); -1 when there is none */
export function openPacketSocket(libc: Libc): number {
  return libc.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/** @throws NetError `libc-missing`, `packet-socket`, `interface-missing` */
export function sendFrames(iface: string, frames: readonly Buffer[]): void {
  const libc = loadLibc();
  const to = linkAddress(iface);
  sender ??= openSender(libc, iface);
  for (const frame of frames) {
    if (libc.sendto(sender, frame, frame.length, 0, to, to.length) === frame.length) continue;
    throw new NetError('packet-socket', `a frame does not leave on ${iface}: ${libc.lastError()}`);
  }
}

function openSender(libc: Libc, iface: string): number {
  const fd = openPacketSocket(libc);
  if (fd >= 0) return fd;
  const missing = missingCapability('CAP_NET_RAW');
  const todo = missing === null ? libc.lastError() : `run as root or with ${missing}`;
  throw new NetError('packet-socket', `no packet socket on ${iface}: ${todo}`);
}
