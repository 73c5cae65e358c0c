/** Checksums that HAST puts over a message's data. @see hast.md section 4 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ChecksumKind } from '../model/roles.ts';

/** Length in bytes of the `hash` field. */
const HASH_BYTES: Readonly<Record<ChecksumKind, number>> = { none: 0, crc32: 4, sha256: 32 };

/** @returns the `hash` field's bytes; empty for `none`. CRC-32 is little-endian, as hastd on amd64 stores it. */
export function checksum(kind: ChecksumKind, data: Buffer): Buffer {
  switch (kind) {
    case 'none':
      return Buffer.alloc(0);
    case 'crc32': {
      const hash = Buffer.allocUnsafe(HASH_BYTES.crc32);
      hash.writeUInt32LE(crc32(data), 0);
      return hash;
    }
    case 'sha256':
      return createHash('sha256').update(data).digest();
  }
}

/** Does `hash` belong to `data`? A hash of the wrong length does not. */
export function checksumMatches(kind: ChecksumKind, data: Buffer, hash: Buffer): boolean {
  return hash.length === HASH_BYTES[kind] && hash.equals(checksum(kind, data));
}

/** What a range holds, in so few bytes that two nodes can compare it over the wire: SHA-256. */
export function digest(data: Buffer): Buffer {
  return checksum('sha256', data);
}

/** CRC-32 as zlib's, unsigned. */
export function crc(data: Buffer): number {
  return crc32(data);
}
