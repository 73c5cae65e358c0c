/**
 * The VRRP advert behind an IP header of protocol 112: version 2 (IPv4, optionally a clear-text password) and
 * version 3 (IPv4 and IPv6). Implementations disagree about the checksum of version 3 over IPv4, so what
 * verifies says which kind the sender uses.
 * @see carp-vrrp 2.1; RFC 3768, RFC 9568
 */
import { timingSafeEqual } from 'node:crypto';

import { WireError } from '../model/errors.ts';
import { packIPv4, packIPv6, unpackAddress } from './ip-address.ts';
import { internetChecksum } from './ipv4.ts';

/** `pseudo`: over addresses, length and protocol as well (keepalived, FRR); `plain`: over the message only. */
export type VrrpChecksum = 'pseudo' | 'plain';
export type VrrpVersion = 2 | 3;

export const VRRP_AUTH_BYTES = 8;
/** A password in clear text behind the addresses; 0 is none, everything else is refused. */
const AUTH_SIMPLE = 1;
const HEADER_BYTES = 8;
const TYPE_ADVERT = 1;
const PROTOCOL = 112;
const AT = {
  versionAndType: 0,
  vrid: 1,
  priority: 2,
  count: 3,
  authType: 4,
  interval2: 5,
  interval3: 4,
  checksum: 6,
  addresses: HEADER_BYTES,
} as const;

/** The addresses of the IP header, which the checksum may cover. */
export interface VrrpWay {
  readonly source: string;
  readonly destination: string;
}

export interface VrrpMessage {
  readonly version: VrrpVersion;
  readonly family: 4 | 6;
  /** 1..255 */
  readonly vrid: number;
  /** 0 (leaving) .. 255 (owner) */
  readonly priority: number;
  /** ms: whole seconds in version 2, hundredths of a second up to 40.95 s in version 3. */
  readonly intervalMs: number;
  /** In the order of the wire. */
  readonly addresses: readonly string[];
  /** Version 2 only: the first 8 bytes count. Null = no authentication. */
  readonly password: Buffer | null;
}

export interface VrrpAdvert extends Omit<VrrpMessage, 'password'> {
  /** Version 2: null without authentication, else 8 bytes. */
  readonly authData: Buffer | null;
  readonly checksum: VrrpChecksum;
}

/**
 * @param way needed for `pseudo`; without it the checksum is plain
 * @throws WireError `vrrp-range` for a value that does not fit its field, `ip-address`
 */
export function encodeVrrp(message: VrrpMessage, checksum: VrrpChecksum, way: VrrpWay | null): Buffer {
  const { version, family, vrid, priority, intervalMs } = message;
  if (version === 2 && family === 6) throw range('family', 'VRRP version 2 has no IPv6', AT.versionAndType);
  const pack = family === 4 ? packIPv4 : packIPv6;
  const addresses = message.addresses.map(pack);
  const auth = version === 2 ? passwordBytes(message.password) : Buffer.alloc(0);
  const packet = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...addresses, auth]);
  packet.writeUInt8((version << 4) | TYPE_ADVERT, AT.versionAndType);
  packet.writeUInt8(fits('vrid', vrid, 1, 255, AT.vrid), AT.vrid);
  packet.writeUInt8(fits('priority', priority, 0, 255, AT.priority), AT.priority);
  packet.writeUInt8(fits('addresses', addresses.length, 1, 255, AT.count), AT.count);
  if (version === 2) {
    packet.writeUInt8(message.password === null ? 0 : AUTH_SIMPLE, AT.authType);
    packet.writeUInt8(fits('seconds', intervalMs / 1000, 1, 255, AT.interval2), AT.interval2);
  } else {
    const hundredths = fits('hundredths of a second', intervalMs / 10, 1, 0xfff, AT.interval3);
    packet.writeUInt16BE(hundredths, AT.interval3);
  }
  const covered =
    version === 3 && checksum === 'pseudo' && way !== null ? pseudoHeader(family, way, packet.length) : null;
  packet.writeUInt16BE(
    covered === null ? internetChecksum(packet) : internetChecksum(covered, packet),
    AT.checksum,
  );
  return packet;
}

/**
 * Reads an advert and checks shape and checksum, not its password (see vrrpPasswordFits).
 * @param ways what the IP header may have said; the first that makes the checksum right counts
 * @throws WireError `vrrp-short`, `vrrp-version`, `vrrp-type`, `vrrp-vrid`, `vrrp-count`, `vrrp-length`,
 *   `vrrp-auth-type`, `vrrp-interval`, `vrrp-checksum`
 */
export function decodeVrrp(buffer: Buffer, family: 4 | 6, ways: readonly VrrpWay[]): VrrpAdvert {
  if (buffer.length < HEADER_BYTES) {
    const message = `a VRRP advert has at least ${HEADER_BYTES} bytes, got ${buffer.length}`;
    throw new WireError('vrrp-short', buffer.length, 'header', message);
  }
  const first = buffer.readUInt8(AT.versionAndType);
  const version = versionOf(first >> 4, family);
  if ((first & 0x0f) !== TYPE_ADVERT) {
    throw new WireError('vrrp-type', AT.versionAndType, 'type', `type ${first & 0x0f} is no advert`);
  }
  const vrid = buffer.readUInt8(AT.vrid);
  if (vrid === 0) throw new WireError('vrrp-vrid', AT.vrid, 'vrid', 'vrid 0 belongs to nobody');
  const addressesEnd = endOfAddresses(buffer, version, family);
  const checksum = checksumKind(buffer, version, family, ways);
  if (checksum === null) {
    throw new WireError('vrrp-checksum', AT.checksum, 'checksum', 'the checksum is wrong');
  }
  const addressBytes = family === 4 ? 4 : 16;
  const addresses: string[] = [];
  for (let at: number = AT.addresses; at < addressesEnd; at += addressBytes) {
    addresses.push(unpackAddress(buffer.subarray(at, at + addressBytes)));
  }
  return {
    version,
    family,
    vrid,
    priority: buffer.readUInt8(AT.priority),
    intervalMs: intervalOf(buffer, version),
    addresses,
    authData: version === 2 ? authDataOf(buffer, addressesEnd) : null,
    checksum,
  };
}

/** Whether version 2's authentication is what we expect: the same password, or none on both sides. */
export function vrrpPasswordFits(advert: VrrpAdvert, password: Buffer | null): boolean {
  if (advert.authData === null || password === null) return advert.authData === null && password === null;
  return timingSafeEqual(advert.authData, passwordBytes(password));
}

function versionOf(version: number, family: 4 | 6): VrrpVersion {
  if (version === 3 || (version === 2 && family === 4)) return version;
  const message =
    version === 2 ? 'VRRP version 2 has no IPv6' : `version ${version} is neither 2 nor 3 of VRRP`;
  throw new WireError('vrrp-version', AT.versionAndType, 'version', message);
}

/** Offset behind the addresses, once count and length agree. */
function endOfAddresses(buffer: Buffer, version: VrrpVersion, family: 4 | 6): number {
  const count = buffer.readUInt8(AT.count);
  if (count === 0) throw new WireError('vrrp-count', AT.count, 'count', 'an advert for no address');
  const end = HEADER_BYTES + count * (family === 4 ? 4 : 16);
  const length = version === 2 ? end + VRRP_AUTH_BYTES : end;
  if (buffer.length === length) return end;
  const message = `${count} addresses make ${length} bytes, got ${buffer.length}`;
  throw new WireError('vrrp-length', Math.min(buffer.length, length), 'length', message);
}

function intervalOf(buffer: Buffer, version: VrrpVersion): number {
  const interval =
    version === 2 ? buffer.readUInt8(AT.interval2) * 1000 : (buffer.readUInt16BE(AT.interval3) & 0xfff) * 10;
  if (interval > 0) return interval;
  const at = version === 2 ? AT.interval2 : AT.interval3;
  throw new WireError('vrrp-interval', at, 'interval', 'an advert every 0 ms is none');
}

function authDataOf(buffer: Buffer, addressesEnd: number): Buffer | null {
  const kind = buffer.readUInt8(AT.authType);
  if (kind === 0) return null;
  if (kind === AUTH_SIMPLE) return Buffer.from(buffer.subarray(addressesEnd, addressesEnd + VRRP_AUTH_BYTES));
  throw new WireError(
    'vrrp-auth-type',
    AT.authType,
    'authType',
    `authentication type ${kind} is neither none (0) nor a password (1)`,
  );
}

function checksumKind(
  buffer: Buffer,
  version: VrrpVersion,
  family: 4 | 6,
  ways: readonly VrrpWay[],
): VrrpChecksum | null {
  if (version === 3) {
    const right = ways.some(
      (way) => internetChecksum(pseudoHeader(family, way, buffer.length), buffer) === 0,
    );
    if (right) return 'pseudo';
  }
  // Over IPv6 every implementation covers the addresses; only a transport that has none may leave them out.
  if (family === 6 && ways.length > 0) return null;
  return internetChecksum(buffer) === 0 ? 'plain' : null;
}

function pseudoHeader(family: 4 | 6, way: VrrpWay, length: number): Buffer {
  if (family === 4) {
    const tail = Buffer.from([0, PROTOCOL, length >> 8, length & 0xff]);
    return Buffer.concat([packIPv4(way.source), packIPv4(way.destination), tail]);
  }
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail.writeUInt8(PROTOCOL, 7);
  return Buffer.concat([packIPv6(way.source), packIPv6(way.destination), tail]);
}

function passwordBytes(password: Buffer | null): Buffer {
  const bytes = Buffer.alloc(VRRP_AUTH_BYTES);
  password?.copy(bytes, 0, 0, VRRP_AUTH_BYTES);
  return bytes;
}

function fits(field: string, value: number, least: number, most: number, offset: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw range(field, `${field} ${value} is not a whole number in ${least}..${most}`, offset);
}

function range(field: string, message: string, offset: number): WireError {
  return new WireError('vrrp-range', offset, field, message);
}
