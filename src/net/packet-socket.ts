/** Sends Ethernet frames on Linux through the optional koffi: Node has no AF_PACKET. 20-200 us per frame. */
import { createRequire } from 'node:module';

import type koffi from 'koffi';

import { NetError } from '../model/errors.ts';
import { interfaceIndex } from './interfaces.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCKADDR_LL_BYTES = 20;

interface PacketCalls {
  socket(family: number, type: number, protocol: number): number;
  sendto(fd: number, data: Buffer, length: number, flags: number, to: Buffer, toLength: number): number;
  close(fd: number): number;
}

let calls: PacketCalls | null = null;

/** @throws NetError `packet-socket-missing` (no koffi, no libc that it can load), `packet-socket`, `interface-missing` */
export function sendFrames(iface: string, frames: readonly Buffer[]): void {
  const libc = (calls ??= load());
  const to = Buffer.alloc(SOCKADDR_LL_BYTES);
  to.set(new Uint8Array(Uint16Array.of(AF_PACKET).buffer), 0);
  to.set(new Uint8Array(Int32Array.of(interfaceIndex(iface)).buffer), 4);
  const fd = libc.socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) {
    throw new NetError('packet-socket', `no packet socket on ${iface}: run as root or with CAP_NET_RAW`);
  }
  try {
    for (const frame of frames) {
      if (libc.sendto(fd, frame, frame.length, 0, to, to.length) === frame.length) continue;
      throw new NetError('packet-socket', `cannot send a frame on ${iface}; is the interface up?`);
    }
  } finally {
    libc.close(fd);
  }
}

function load(): PacketCalls {
  try {
    const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
    const libc = ffi.load(null);
    return {
      socket: libc.func('int socket(int family, int type, int protocol)'),
      sendto: libc.func(
        'long sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *to, uint32_t toLength)',
      ),
      close: libc.func('int close(int fd)'),
    };
  } catch (cause) {
    throw new NetError(
      'packet-socket-missing',
      'the optional package koffi does not work here; install arping to announce addresses',
      { cause },
    );
  }
}
