/** Two requests of rtnetlink(7) and the kernel's answer: an address goes on an interface, or comes off. Little endian. */
import { WireError } from '../model/errors.ts';
import { packIPv4, packIPv6 } from './ip-address.ts';

export interface InterfaceAddress {
  /** e.g. 10.0.0.1 or fd00::1 */
  readonly address: string;
  readonly prefix: number;
  readonly interfaceIndex: number;
}

export interface NewAddress extends InterfaceAddress {
  /** IPv4 only; at most 15 bytes. */
  readonly label: string | null;
  /** IPv6 only: not chosen as source. */
  readonly deprecated: boolean;
  /** IPv6 only: asks first whether somebody else has it. */
  readonly dad: boolean;
}

const HEADER_BYTES = 16;
const ADDRESS_BYTES = 8;
const ATTRIBUTE_BYTES = 4;

const NLMSG_ERROR = 2;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;

const REQUEST = 0x1;
const ACK = 0x4;
const REPLACE = 0x100;
const CREATE = 0x400;

const AF_INET = 2;
const AF_INET6 = 10;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_CACHEINFO = 6;
const NODAD = 0x02;
const FOR_EVER = 0xffffffff;

/** As `ip address replace`. */
export function encodeNewAddress(address: NewAddress, seq: number): Buffer {
  const six = address.address.includes(':');
  const more: Buffer[] = [];
  if (!six && address.label !== null) more.push(attribute(IFA_LABEL, Buffer.from(`${address.label}\0`)));
  if (six && address.deprecated) more.push(attribute(IFA_CACHEINFO, words(0, FOR_EVER, 0, 0)));
  return message(
    RTM_NEWADDR,
    REQUEST | ACK | CREATE | REPLACE,
    seq,
    address,
    more,
    six && !address.dad ? NODAD : 0,
  );
}

/** As `ip address del`. */
export function encodeDeleteAddress(address: InterfaceAddress, seq: number): Buffer {
  return message(RTM_DELADDR, REQUEST | ACK, seq, address, []);
}

/**
 * @returns the errno of the answer, 0 for success; null when this is the answer to something else
 * @throws WireError `rtnetlink` for what is none
 */
export function decodeAcknowledgement(answer: Buffer, seq: number): number | null {
  if (answer.length < HEADER_BYTES + 4)
    throw new WireError('rtnetlink', answer.length, 'length', 'an answer of the kernel is too short');
  if (answer.readUInt16LE(4) !== NLMSG_ERROR || answer.readUInt32LE(8) !== seq) return null;
  return Math.abs(answer.readInt32LE(HEADER_BYTES));
}

function message(
  type: number,
  flags: number,
  seq: number,
  to: InterfaceAddress,
  more: readonly Buffer[],
  addressFlags = 0,
): Buffer {
  const six = to.address.includes(':');
  const bytes = six ? packIPv6(to.address) : packIPv4(to.address);
  const attributes = [attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes), ...more];
  const head = Buffer.alloc(HEADER_BYTES + ADDRESS_BYTES);
  const length = attributes.reduce((sum, each) => sum + each.length, head.length);
  head.writeUInt32LE(length, 0);
  head.writeUInt16LE(type, 4);
  head.writeUInt16LE(flags, 6);
  head.writeUInt32LE(seq, 8);
  head.writeUInt8(six ? AF_INET6 : AF_INET, HEADER_BYTES);
  head.writeUInt8(to.prefix, HEADER_BYTES + 1);
  head.writeUInt8(addressFlags, HEADER_BYTES + 2);
  head.writeUInt32LE(to.interfaceIndex, HEADER_BYTES + 4);
  return Buffer.concat([head, ...attributes]);
}

/** Padded to four bytes. */
function attribute(type: number, value: Buffer): Buffer {
  const length = ATTRIBUTE_BYTES + value.length;
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4);
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, ATTRIBUTE_BYTES);
  return bytes;
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32LE(value, 4 * index));
  return bytes;
}
