/** The IPv4 header in front of what a raw socket delivers, and the internet checksum. @see RFC 791, RFC 1071 */
import { WireError } from '../model/errors.ts';

export interface IPv4Header {
  /** Bytes of the header: the payload starts here. */
  readonly headerBytes: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
}

const MIN_HEADER_BYTES = 20;
const AT = { versionAndLength: 0, ttl: 8, protocol: 9, source: 12, destination: 16 } as const;

/**
 * Reads the header; total length is ignored, because BSD kernels change it before delivery.
 * @throws WireError `ipv4-short`, `ipv4-version`
 */
export function decodeIPv4(buffer: Buffer): IPv4Header {
  const first = buffer[AT.versionAndLength] ?? 0;
  if (buffer.length < MIN_HEADER_BYTES) throw short(buffer.length, MIN_HEADER_BYTES);
  if (first >> 4 !== 4) {
    throw new WireError('ipv4-version', AT.versionAndLength, 'version', `IP version ${first >> 4} is not 4`);
  }
  const headerBytes = (first & 0x0f) * 4;
  if (headerBytes < MIN_HEADER_BYTES || buffer.length < headerBytes) throw short(buffer.length, headerBytes);
  return {
    headerBytes,
    ttl: buffer.readUInt8(AT.ttl),
    protocol: buffer.readUInt8(AT.protocol),
    source: buffer.subarray(AT.source, AT.source + 4).join('.'),
    destination: buffer.subarray(AT.destination, AT.destination + 4).join('.'),
  };
}

/** One's complement of the one's complement sum of 16-bit words; 0 over bytes that hold a right checksum. */
export function internetChecksum(...parts: readonly Buffer[]): number {
  const bytes = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
  let sum = 0;
  // Without the checks of readUInt16BE: a flood makes this the most called function of all.
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

function short(length: number, needed: number): WireError {
  return new WireError(
    'ipv4-short',
    length,
    'header',
    `IPv4 header needs ${Math.max(needed, MIN_HEADER_BYTES)} bytes, got ${length}`,
  );
}
