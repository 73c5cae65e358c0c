/** The C library through the optional package koffi: what Node has no call for. Linux, 64 bit, little endian. */
import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { getSystemErrorMap } from 'node:util';

import type koffi from 'koffi';

import { describeError, NetError } from '../model/errors.ts';

type Koffi = typeof koffi;

export interface Libc {
  /** -1 and `lastError` as C has it, all of them. */
  socket(family: number, type: number, protocol: number): number;
  close(fd: number): number;
  /** On another thread, for what takes the kernel long; nobody hears how it ended. */
  closeAside(fd: number): void;
  bind(fd: number, address: Buffer, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  sendto(fd: number, data: Buffer, length: number, flags: number, to: Buffer, toLength: number): number;
  recv(fd: number, into: Buffer, length: number, flags: number): number;
  recvmmsg(fd: number, messages: Buffer, count: number, flags: number, timeout: null): number;
  /** Name and text of the last error, e.g. `ENETDOWN: network is down`. */
  lastError(): string;
  /** Calls back whenever there is something to read. The handle must be held, and closed before the descriptor. */
  poll(fd: number, readable: () => void): { close(): void };
  /** Where the bytes stand in memory. The buffer must be held as long as C may look there. */
  addressOf(buffer: Buffer): bigint;
}

/** 64-bit little-endian machines on which structures are laid out as `raw-koffi` writes them. */
const KNOWN_LAYOUT = ['x64', 'arm64', 'riscv64', 'loong64'];

let loaded: Libc | NetError | null = null;

/** @throws NetError `libc-missing` where koffi is not installed or does not work */
export function loadLibc(): Libc {
  loaded ??= load();
  if (loaded instanceof NetError) throw loaded;
  return loaded;
}

function load(): Libc | NetError {
  try {
    if (process.platform !== 'linux' || !KNOWN_LAYOUT.includes(process.arch) || endianness() !== 'LE') {
      return new NetError(
        'libc-missing',
        `not known how ${process.platform} on ${process.arch} lays out memory`,
      );
    }
    return bindings(createRequire(import.meta.url)('koffi') as Koffi);
  } catch (cause) {
    return new NetError(
      'libc-missing',
      `the optional package koffi does not work here: ${describeError(cause)}`,
      {
        cause,
      },
    );
  }
}

function bindings(ffi: Koffi): Libc {
  const libc = ffi.load(null);
  const close = libc.func('int close(int fd)');
  return {
    socket: libc.func('int socket(int family, int type, int protocol)'),
    close,
    closeAside: (fd) => {
      close.async(fd, () => undefined);
    },
    bind: libc.func('int bind(int fd, const uint8_t *address, uint32_t length)'),
    setsockopt: libc.func(
      'int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)',
    ),
    sendto: libc.func(
      'long sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *to, uint32_t toLength)',
    ),
    recv: libc.func('long recv(int fd, _Out_ uint8_t *into, size_t length, int flags)'),
    recvmmsg: libc.func('int recvmmsg(int fd, uint8_t *messages, uint32_t count, int flags, void *timeout)'),
    lastError: () => {
      const number = ffi.errno();
      const [name, text] = getSystemErrorMap().get(-number) ?? ['error', String(number)];
      return `${name}: ${text}`;
    },
    poll: (fd, readable) => ffi.node.poll(fd, { readable: true }, readable),
    addressOf: (buffer) => ffi.address(buffer),
  };
}
