/**
 * The CARP advert: 36 bytes behind an IP header of protocol 112.
 * The digest covers vhid, addresses and counter only; advbase, advskew and demote may be changed
 * by anybody on the segment, so they steer an election and never give a right to write.
 * @see carp-vrrp 1.1, 1.2
 */
import { timingSafeEqual } from 'node:crypto';

import { WireError } from '../model/errors.ts';
import { hmacSha1 } from './hmac-sha1.ts';
import { packIPv4, packIPv6 } from './ip-address.ts';
import { internetChecksum } from './ipv4.ts';

export { carpIntervals } from '../model/carp-timing.ts';

export const CARP_BYTES = 36;
/** FreeBSD silently cuts longer passwords, ucarp refuses them: cutting here makes both agree with us. */
export const CARP_KEY_BYTES = 19;

const VERSION_AND_TYPE = 0x21;
/** In 32-bit words: counter and digest. */
const AUTH_WORDS = 7;
const AT = {
  versionAndType: 0,
  vhid: 1,
  advskew: 2,
  authWords: 3,
  demote: 4,
  advbase: 5,
  checksum: 6,
  counter: 8,
  digest: 16,
} as const;

export interface CarpAdvert {
  /** 1..255 */
  readonly vhid: number;
  /** 1/256 s, 0..255; demotion included. */
  readonly advskew: number;
  /** s, 0..255 */
  readonly advbase: number;
  /** OpenBSD's demotion count; 0 from everybody else. */
  readonly demote: number;
  /** 64 bit; nobody checks that it grows. */
  readonly counter: bigint;
  /** HMAC-SHA1, 20 bytes. */
  readonly digest: Buffer;
}

export interface CarpMessage {
  readonly vhid: number;
  readonly advskew: number;
  readonly advbase: number;
  readonly demote?: number;
  readonly counter: bigint;
  /** Password bytes; only the first 19 count. Empty = no password. */
  readonly key: Buffer;
  /** Every address of the vhid, in any order, without prefix length: all nodes need the same set. */
  readonly addresses4: readonly string[];
  readonly addresses6: readonly string[];
}

/** @throws WireError `carp-range` for a value that does not fit its field, `ip-address` */
export function encodeCarp(message: CarpMessage): Buffer {
  const packet = Buffer.alloc(CARP_BYTES);
  packet.writeUInt8(VERSION_AND_TYPE, AT.versionAndType);
  packet.writeUInt8(inRange('vhid', message.vhid, 1, AT.vhid), AT.vhid);
  packet.writeUInt8(inRange('advskew', message.advskew, 0, AT.advskew), AT.advskew);
  packet.writeUInt8(AUTH_WORDS, AT.authWords);
  packet.writeUInt8(inRange('demote', message.demote ?? 0, 0, AT.demote), AT.demote);
  packet.writeUInt8(inRange('advbase', message.advbase, 0, AT.advbase), AT.advbase);
  packet.writeBigUInt64BE(BigInt.asUintN(64, message.counter), AT.counter);
  digestOf(packet, message.key, message.addresses4, message.addresses6).copy(packet, AT.digest);
  packet.writeUInt16BE(internetChecksum(packet), AT.checksum);
  return packet;
}

/**
 * Reads an advert and checks its shape and checksum, not its digest (see verifyCarp).
 * VRRPv2 shares protocol, group and first byte; its packets are never 36 bytes with 7 in byte 3.
 * @throws WireError `carp-short`, `carp-long`, `carp-version`, `carp-authlen`, `carp-vhid`, `carp-checksum`
 */
export function decodeCarp(buffer: Buffer): CarpAdvert {
  if (buffer.length !== CARP_BYTES) {
    const code = buffer.length < CARP_BYTES ? 'carp-short' : 'carp-long';
    throw new WireError(
      code,
      Math.min(buffer.length, CARP_BYTES),
      'length',
      `a CARP advert has ${CARP_BYTES} bytes, got ${buffer.length}`,
    );
  }
  const fail = (code: string, field: keyof typeof AT, message: string): WireError =>
    new WireError(code, AT[field], field, message);
  const versionAndType = buffer.readUInt8(AT.versionAndType);
  if (versionAndType !== VERSION_AND_TYPE) {
    throw fail(
      'carp-version',
      'versionAndType',
      `version and type 0x${versionAndType.toString(16)} is not 0x21`,
    );
  }
  const authWords = buffer.readUInt8(AT.authWords);
  if (authWords !== AUTH_WORDS) {
    throw fail('carp-authlen', 'authWords', `authentication length ${authWords} is not ${AUTH_WORDS}`);
  }
  const vhid = buffer.readUInt8(AT.vhid);
  if (vhid === 0) throw fail('carp-vhid', 'vhid', 'vhid 0 belongs to nobody');
  if (internetChecksum(buffer) !== 0) throw fail('carp-checksum', 'checksum', 'the checksum is wrong');
  return {
    vhid,
    advskew: buffer.readUInt8(AT.advskew),
    advbase: buffer.readUInt8(AT.advbase),
    demote: buffer.readUInt8(AT.demote),
    counter: buffer.readBigUInt64BE(AT.counter),
    digest: Buffer.from(buffer.subarray(AT.digest, CARP_BYTES)),
  };
}

/**
 * Whether the digest was made with this key for these addresses. Link-local addresses may be in it
 * (FreeBSD) or not (OpenBSD). Takes the same time for every wrong digest.
 */
export function verifyCarp(
  buffer: Buffer,
  key: Buffer,
  addresses4: readonly string[],
  addresses6: readonly string[],
): boolean {
  if (buffer.length !== CARP_BYTES) return false;
  const digest = buffer.subarray(AT.digest, CARP_BYTES);
  const global6 = addresses6.filter((address) => !isLinkLocal(address));
  const all = timingSafeEqual(digest, digestOf(buffer, key, addresses4, addresses6));
  if (global6.length === addresses6.length) return all;
  return timingSafeEqual(digest, digestOf(buffer, key, addresses4, global6)) || all;
}

function digestOf(
  packet: Buffer,
  key: Buffer,
  addresses4: readonly string[],
  addresses6: readonly string[],
): Buffer {
  const addresses = Buffer.concat([packed(addresses4, packIPv4), packed(addresses6, packIPv6)]);
  const message = Buffer.concat([
    Buffer.of(VERSION_AND_TYPE >> 4, VERSION_AND_TYPE & 0x0f, packet.readUInt8(AT.vhid)),
    addresses,
    packet.subarray(AT.counter, AT.digest),
  ]);
  return hmacSha1(key.subarray(0, CARP_KEY_BYTES), message);
}

/** Packed lists by the list that they were made of: whoever verifies a flood asks with the same list each time. */
const packedLists = new WeakMap<readonly string[], Buffer>();

function packed(addresses: readonly string[], pack: (text: string) => Buffer): Buffer {
  const known = packedLists.get(addresses);
  if (known !== undefined) return known;
  const bytes = Buffer.concat(addresses.map(pack).sort((a, b) => a.compare(b)));
  packedLists.set(addresses, bytes);
  return bytes;
}

function isLinkLocal(address6: string): boolean {
  const bytes = packIPv6(address6);
  return bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

function inRange(field: string, value: number, least: number, offset: number): number {
  if (Number.isInteger(value) && value >= least && value <= 255) return value;
  throw new WireError(
    'carp-range',
    offset,
    field,
    `${field} ${value} is not a whole number in ${least}..255`,
  );
}
