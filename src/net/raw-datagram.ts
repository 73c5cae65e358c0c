/** What raw sockets deliver, as Linux lays it out. */
import { unpackAddress } from '../protocol/ip-address.ts';
import { decodeIPv4 } from '../protocol/ipv4.ts';
import type { RawDatagram } from './raw-port.ts';

const IPV6_LEVEL = 41;
const PACKET_INFO = 50;
const HOP_LIMIT = 52;
/** Length, level and type in front of each ancillary message. */
const ANCILLARY_BYTES = 16;

/** IPv4: the header comes with it. Text is made when somebody asks: most of a flood is refused before. */
export class DatagramWithHeader implements RawDatagram {
  readonly payload: Buffer;
  readonly ttl: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.payload = bytes.subarray(((bytes[0] ?? 0) & 0x0f) * 4);
    this.ttl = bytes[8] ?? 0;
  }

  get source(): string {
    return decodeIPv4(this.#bytes).source;
  }

  get destination(): string {
    return decodeIPv4(this.#bytes).destination;
  }
}

/** IPv6: what the header held comes as ancillary data. */
export class DatagramWithoutHeader implements RawDatagram {
  readonly payload: Buffer;
  readonly #name: Buffer;
  readonly #control: Buffer;

  /** @param name struct sockaddr_in6 @param control messages of struct cmsghdr, 64 bit */
  constructor(payload: Buffer, name: Buffer, control: Buffer) {
    this.payload = payload;
    this.#name = name;
    this.#control = control;
  }

  get source(): string {
    return unpackAddress(this.#name.subarray(8, 24));
  }

  get ttl(): number | null {
    return this.#ancillary(HOP_LIMIT)?.readInt32LE(0) ?? null;
  }

  get destination(): string | null {
    const info = this.#ancillary(PACKET_INFO);
    return info === null ? null : unpackAddress(info.subarray(0, 16));
  }

  #ancillary(type: number): Buffer | null {
    for (let at = 0; at + ANCILLARY_BYTES <= this.#control.length;) {
      const length = this.#control.readUInt32LE(at);
      if (length < ANCILLARY_BYTES) return null;
      const matches =
        this.#control.readInt32LE(at + 8) === IPV6_LEVEL && this.#control.readInt32LE(at + 12) === type;
      if (matches) return this.#control.subarray(at + ANCILLARY_BYTES, at + length);
      at += Math.ceil(length / 8) * 8;
    }
    return null;
  }
}
