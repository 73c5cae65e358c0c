/** A raw socket by the C library's own calls: batches of datagrams, hop limits and destinations. Linux. */
import { NetError } from '../model/errors.ts';
import { cInt, socketAddress } from './c-values.ts';
import { loadLibc } from './libc.ts';
import type { Libc } from './libc.ts';
import { ADVERT_PROTOCOL, refusedRawSocket } from './raw-port.ts';
import { DatagramWithHeader, DatagramWithoutHeader } from './raw-datagram.ts';
import type { RawDatagram, RawPort, RawPortOptions } from './raw-port.ts';

const AF = { 4: 2, 6: 10 } as const;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPV6_LEVEL = 41;
const RECEIVE_PACKET_INFO = 49;
const RECEIVE_HOP_LIMIT = 51;

const BATCH = 64;
/** One event reads so many batches at most, so that a flood leaves turns for everybody else. */
const BATCHES = 8;
const BYTES = { packet: 1024, control: 64, name: 28, iovec: 16, message: 64 } as const;
/** Offsets in struct mmsghdr and struct cmsghdr of 64-bit Linux. */
const AT = {
  name: 0,
  nameLength: 8,
  iov: 16,
  iovCount: 24,
  control: 32,
  controlLength: 40,
  length: 56,
} as const;

/** Sockets whose poll handle must not be collected as long as they are open. */
const held = new Set<KoffiPort>();

/** @throws NetError `libc-missing`, `raw-socket-refused` */
export function openKoffiPort(options: RawPortOptions): RawPort {
  const libc = loadLibc();
  const fd = libc.socket(AF[options.family], SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, ADVERT_PROTOCOL);
  if (fd < 0) throw refusedRawSocket(options.interface, new Error(libc.lastError()));
  return new KoffiPort(libc, fd, options);
}

class KoffiPort implements RawPort {
  readonly how = 'koffi';
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #options: RawPortOptions;
  readonly #batch: Batch | null;
  readonly #poll: { close(): void } | null;
  #closed = false;

  constructor(libc: Libc, fd: number, options: RawPortOptions) {
    this.#libc = libc;
    this.#fd = fd;
    this.#options = options;
    held.add(this);
    this.#batch = options.onDatagram === null ? null : new Batch(libc);
    if (options.family === 6 && this.#batch !== null) {
      for (const option of [RECEIVE_PACKET_INFO, RECEIVE_HOP_LIMIT])
        this.setOption(IPV6_LEVEL, option, cInt(1));
    }
    this.#poll = this.#batch === null ? null : libc.poll(fd, () => this.read());
  }

  setOption(level: number, option: number, value: Buffer): void {
    if (this.#libc.setsockopt(this.#fd, level, option, value, value.length) === 0) return;
    throw new NetError('socket-option', `socket option ${level}/${option}: ${this.#libc.lastError()}`);
  }

  send(packet: Buffer, to: string): string | null {
    if (this.#closed) return 'the raw socket is closed';
    const address = socketAddress(to, this.#options.interfaceIndex);
    const sent = this.#libc.sendto(this.#fd, packet, packet.length, 0, address, address.length);
    return sent === packet.length ? null : this.#libc.lastError();
  }

  read(): number {
    let total = 0;
    for (let round = 0; round < BATCHES && !this.#closed; round += 1) {
      const count = this.#readBatch();
      total += count;
      if (count < BATCH) break;
    }
    return total;
  }

  #readBatch(): number {
    const { onDatagram, onError, family } = this.#options;
    if (this.#batch === null || onDatagram === null) return 0;
    const count = this.#batch.receive(this.#fd);
    if (count < 0) {
      const error = this.#libc.lastError();
      if (!/^(EAGAIN|EINTR)/.test(error)) onError(new NetError('raw-socket', error));
      return 0;
    }
    for (let at = 0; at < count && !this.#closed; at += 1) {
      onDatagram(family === 4 ? new DatagramWithHeader(this.#batch.packet(at)) : this.#batch.datagram6(at));
    }
    return count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    held.delete(this);
    this.#poll?.close();
    this.#libc.close(this.#fd);
  }
}

/** Room for one call of recvmmsg, laid out once. */
class Batch {
  readonly #libc: Libc;
  readonly #packets = Buffer.allocUnsafeSlow(BATCH * BYTES.packet);
  readonly #controls = Buffer.allocUnsafeSlow(BATCH * BYTES.control);
  readonly #names = Buffer.allocUnsafeSlow(BATCH * BYTES.name);
  readonly #iovecs = Buffer.allocUnsafeSlow(BATCH * BYTES.iovec);
  readonly #messages = Buffer.alloc(BATCH * BYTES.message);

  constructor(libc: Libc) {
    this.#libc = libc;
    const [packets, controls, names, iovecs] = [this.#packets, this.#controls, this.#names, this.#iovecs].map(
      (part) => libc.addressOf(part),
    ) as [bigint, bigint, bigint, bigint];
    for (let at = 0; at < BATCH; at += 1) {
      const place = BigInt(at);
      this.#iovecs.writeBigUInt64LE(packets + place * BigInt(BYTES.packet), at * BYTES.iovec);
      this.#iovecs.writeBigUInt64LE(BigInt(BYTES.packet), at * BYTES.iovec + 8);
      const message = at * BYTES.message;
      this.#messages.writeBigUInt64LE(names + place * BigInt(BYTES.name), message + AT.name);
      this.#messages.writeBigUInt64LE(iovecs + place * BigInt(BYTES.iovec), message + AT.iov);
      this.#messages.writeBigUInt64LE(1n, message + AT.iovCount);
      this.#messages.writeBigUInt64LE(controls + place * BigInt(BYTES.control), message + AT.control);
    }
  }

  /** @returns datagrams, or -1 and `lastError` */
  receive(fd: number): number {
    for (let message = 0; message < this.#messages.length; message += BYTES.message) {
      this.#messages.writeUInt32LE(BYTES.name, message + AT.nameLength);
      this.#messages.writeUInt32LE(BYTES.control, message + AT.controlLength);
    }
    return this.#libc.recvmmsg(fd, this.#messages, BATCH, 0, null);
  }

  packet(at: number): Buffer {
    const length = this.#messages.readUInt32LE(at * BYTES.message + AT.length);
    return this.#packets.subarray(at * BYTES.packet, at * BYTES.packet + length);
  }

  datagram6(at: number): RawDatagram {
    const used = this.#messages.readUInt32LE(at * BYTES.message + AT.controlLength);
    const control = this.#controls.subarray(at * BYTES.control, at * BYTES.control + used);
    const name = this.#names.subarray(at * BYTES.name, (at + 1) * BYTES.name);
    return new DatagramWithoutHeader(this.packet(at), name, control);
  }
}
