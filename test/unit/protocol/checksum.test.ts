import { describe, expect, it } from 'vitest';
import { checksum, checksumMatches } from '../../../src/protocol/checksum.ts';

const DATA = Buffer.from('123456789');

describe('checksum', () => {
  it.each([
    ['none', ''],
    ['crc32', '2639f4cb'],
    ['sha256', '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225'],
  ] as const)('%s is as published, the CRC little-endian', (kind, hex) => {
    expect(checksum(kind, DATA).toString('hex')).toBe(hex);
    expect(checksumMatches(kind, DATA, Buffer.from(hex, 'hex'))).toBe(true);
  });

  it('does not match other data or a hash of another length', () => {
    const hash = checksum('crc32', DATA);
    expect(checksumMatches('crc32', Buffer.from('123456788'), hash)).toBe(false);
    expect(checksumMatches('crc32', DATA, hash.subarray(0, 3))).toBe(false);
    expect(checksumMatches('sha256', DATA, hash)).toBe(false);
  });
});
