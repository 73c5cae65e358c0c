/** Wakes up when the kernel changes an interface or an address. Linux, through koffi. */
import { loadLibc } from './libc.ts';
import type { Libc } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const ROUTE = 0;
/** RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR. */
const GROUPS = 0x1 | 0x10 | 0x100;
const ADDRESS_BYTES = 12;
const MESSAGE_BYTES = 65_536;

/** Subscriptions must not be collected while they are wanted. */
const held = new Set<object>();

/** @returns null where there is none: somebody has to look from time to time then, as messages may be lost, too */
export function watchNetlink(onChange: () => void): { close(): void } | null {
  let libc: Libc;
  try {
    libc = loadLibc();
  } catch {
    return null;
  }
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, ROUTE);
  if (fd < 0) return null;
  const address = Buffer.alloc(ADDRESS_BYTES);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(GROUPS, 8);
  if (libc.bind(fd, address, address.length) !== 0) {
    libc.close(fd);
    return null;
  }
  const message = Buffer.alloc(MESSAGE_BYTES);
  const poll = libc.poll(fd, () => {
    // What changed is looked up elsewhere: here it only has to be taken out.
    while (libc.recv(fd, message, message.length, 0) > 0);
    onChange();
  });
  const watch = {
    close: () => {
      if (!held.delete(watch)) return;
      poll.close();
      libc.close(fd);
    },
  };
  held.add(watch);
  return watch;
}
