/**
 * Addresses on and off an interface by one system call of our own instead of a process: on a busy machine
 * starting `ip` takes longer than everything else of a failover. Linux, through koffi.
 */
import type { AddressOptions } from '../model/settings.ts';
import { addressOf } from '../protocol/ip-address.ts';
import { decodeAcknowledgement, encodeDeleteAddress, encodeNewAddress } from '../protocol/rtnetlink.ts';
import { interfaceIndex } from './interfaces.ts';
import { labelOn } from './ip-addresses.ts';
import { loadLibc } from './libc.ts';
import type { Libc } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const ROUTE = 0;
const SOCKET_ADDRESS_BYTES = 12;
const ANSWER_BYTES = 8192;
/** The kernel has answered before the request returns; behind it there may be an answer to an earlier one. */
const MOST_ANSWERS = 16;

const ENODEV = 19;
const EADDRNOTAVAIL = 99;

export interface DirectAddresses {
  /** @returns whether the kernel took it; if not, `ip` may say why */
  add(cidr: string, iface: string, options: AddressOptions): boolean;
  /** @returns whether it is gone */
  remove(cidr: string, iface: string): boolean;
}

/** @returns null where this is not to be had */
export function directAddresses(): DirectAddresses | null {
  let libc: Libc;
  try {
    libc = loadLibc();
  } catch {
    return null;
  }
  let seq = 0;
  const ask = (encode: (seq: number) => Buffer): number | null => {
    seq = (seq + 1) % 0xffffffff;
    return transact(libc, encode(seq), seq);
  };
  return {
    add: (cidr, iface, { label, deprecated, dad }) => {
      const target = targetOf(cidr, iface);
      if (target === null) return false;
      return (
        ask((n) => encodeNewAddress({ ...target, label: labelOn(iface, label), deprecated, dad }, n)) === 0
      );
    },
    remove: (cidr, iface) => {
      const target = targetOf(cidr, iface);
      if (target === null) return false;
      const errno = ask((n) => encodeDeleteAddress(target, n));
      return errno === 0 || errno === EADDRNOTAVAIL || errno === ENODEV;
    },
  };
}

/** Null where the interface is not there. */
function targetOf(cidr: string, iface: string) {
  const prefix = Number(cidr.split('/')[1] ?? (cidr.includes(':') ? 128 : 32));
  try {
    return { address: addressOf(cidr), prefix, interfaceIndex: interfaceIndex(iface) };
  } catch {
    return null;
  }
}

/** @returns errno of the kernel's answer, null when there was none */
function transact(libc: Libc, request: Buffer, seq: number): number | null {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, ROUTE);
  if (fd < 0) return null;
  try {
    const kernel = Buffer.alloc(SOCKET_ADDRESS_BYTES);
    kernel.writeUInt16LE(AF_NETLINK, 0);
    if (libc.sendto(fd, request, request.length, 0, kernel, kernel.length) < 0) return null;
    const answer = Buffer.alloc(ANSWER_BYTES);
    for (let looks = 0; looks < MOST_ANSWERS; looks++) {
      const length = libc.recv(fd, answer, answer.length, 0);
      if (length <= 0) return null;
      const errno = decodeAcknowledgement(answer.subarray(0, length), seq);
      if (errno !== null) return errno;
    }
    return null;
  } finally {
    libc.close(fd);
  }
}
