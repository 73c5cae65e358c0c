/**
 * The local syslog daemon's datagram socket, through koffi: Node has no unix datagrams. Each line is
 * sent to the path anew, so a restarted daemon is found again, and never waits for a full one.
 */
import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';

import { BusyError, type SyslogTransport } from './syslog-queue.ts';

const require = createRequire(import.meta.url);

export const LOCAL_SYSLOG = process.platform === 'freebsd' ? '/var/run/log' : '/dev/log';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;

/** Linux' word and FreeBSD's for a full receiver. */
const BUSY: readonly string[] = ['EAGAIN', 'ENOBUFS'];

interface Platform {
  /** SOCK_CLOEXEC | SOCK_NONBLOCK: hooks do not inherit it. */
  readonly socketFlags: number;
  /** MSG_DONTWAIT | MSG_NOSIGNAL */
  readonly sendFlags: number;
  readonly pathBytes: number;
  /** BSD has a length before the family. */
  readonly hasLength: boolean;
}

const PLATFORMS: Readonly<Partial<Record<NodeJS.Platform, Platform>>> = {
  linux: { socketFlags: 0o2004000, sendFlags: 0x4040, pathBytes: 108, hasLength: false },
  freebsd: { socketFlags: 0x30000000, sendFlags: 0x20080, pathBytes: 104, hasLength: true },
};

interface Koffi {
  load(path: string | null): { func(prototype: string): (...args: unknown[]) => unknown };
  errno(): number;
  readonly os: { readonly errno: Readonly<Record<string, number>> };
}

/** @returns null without koffi, and where its constants are not known */
export function localTransport(path: string): SyslogTransport | null {
  const platform = PLATFORMS[process.platform];
  if (platform === undefined) return null;
  let koffi: Koffi;
  try {
    koffi = require('koffi') as Koffi;
  } catch {
    return null;
  }
  const library = koffi.load(null);
  const sendto = library.func('long sendto(int, void *, size_t, int, void *, unsigned int)');
  const closeFd = library.func('int close(int)');
  const fd = Number(library.func('int socket(int, int, int)')(AF_UNIX, SOCK_DGRAM | platform.socketFlags, 0));
  if (fd < 0) return null;
  const address = socketAddress(path, platform);
  return {
    target: path,
    send(line) {
      const data = Buffer.from(line);
      const sent = Number(sendto(fd, data, data.length, platform.sendFlags, address, address.length));
      if (sent >= 0) return Promise.resolve();
      const reason = errorName(koffi);
      return Promise.reject(BUSY.includes(reason) ? new BusyError(reason) : new Error(reason));
    },
    close() {
      closeFd(fd);
    },
  };
}

/** sockaddr_un */
function socketAddress(path: string, { hasLength, pathBytes }: Platform): Buffer {
  const address = Buffer.alloc(2 + pathBytes);
  if (hasLength) address.writeUInt8(address.length, 0);
  if (hasLength) address.writeUInt8(AF_UNIX, 1);
  else address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2, pathBytes - 1);
  return address;
}

function errorName(koffi: Koffi): string {
  const number = koffi.errno();
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0];
  return name ?? `error ${number}`;
}
