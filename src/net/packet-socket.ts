/** Sends Ethernet frames on Linux through the optional koffi: Node has no AF_PACKET. 20-200 us per frame. */
import { NetError } from '../model/errors.ts';
import { interfaceIndex } from './interfaces.ts';
import { loadLibc } from './libc.ts';
import { missingCapability } from './capabilities.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCKADDR_LL_BYTES = 20;

/** @throws NetError `libc-missing`, `packet-socket`, `interface-missing` */
export function sendFrames(iface: string, frames: readonly Buffer[]): void {
  const libc = loadLibc();
  const to = Buffer.alloc(SOCKADDR_LL_BYTES);
  to.writeUInt16LE(AF_PACKET, 0);
  to.writeInt32LE(interfaceIndex(iface), 4);
  const fd = libc.socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) {
    const missing = missingCapability('CAP_NET_RAW');
    const todo = missing === null ? libc.lastError() : `run as root or with ${missing}`;
    throw new NetError('packet-socket', `no packet socket on ${iface}: ${todo}`);
  }
  try {
    for (const frame of frames) {
      if (libc.sendto(fd, frame, frame.length, 0, to, to.length) === frame.length) continue;
      throw new NetError('packet-socket', `a frame does not leave on ${iface}: ${libc.lastError()}`);
    }
  } finally {
    libc.close(fd);
  }
}
