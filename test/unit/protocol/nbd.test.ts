import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import {
  decodeRequest,
  decodeSimpleReply,
  encodeRequest,
  encodeSimpleReply,
  nbdError,
  nbdErrorName,
  type NbdRequest,
} from '../../../src/protocol/nbd.ts';

/** As libnbd sends them. */
const REQUESTS: readonly (readonly [string, string, NbdRequest])[] = [
  [
    'a read of 512 bytes at 4096',
    '25609513 0000 0000 0000000000000001 0000000000001000 00000200',
    { flags: 0, type: 0, cookieHigh: 0, cookieLow: 1, offset: 4096, length: 512 },
  ],
  [
    'a forced write above 4 GiB',
    '25609513 0001 0001 ffffffff00000002 0000000200000000 00010000',
    { flags: 1, type: 1, cookieHigh: 0xffffffff, cookieLow: 2, offset: 2 ** 33, length: 65536 },
  ],
  [
    'a disconnect',
    '25609513 0000 0002 0000000000000000 0000000000000000 00000000',
    { flags: 0, type: 2, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 },
  ],
];

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof WireError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('NBD requests', () => {
  it.each(REQUESTS)('%s is read and written byte for byte', (_name, hex, request) => {
    expect(decodeRequest(bytesOf(hex))).toEqual(request);
    expect(encodeRequest(request)).toEqual(bytesOf(hex));
  });

  it.each(REQUESTS)('%s that stops early is truncated, wherever it stops', (_name, hex) => {
    const whole = bytesOf(hex);
    for (let end = 0; end < whole.length; end += 1) {
      expect(codeOf(() => decodeRequest(whole.subarray(0, end)))).toBe('nbd-truncated');
    }
  });

  it('a wrong magic is refused with where it stands', () => {
    const bytes = Buffer.concat([Buffer.alloc(3), bytesOf(REQUESTS[0]?.[1] ?? '')]);
    bytes[3] = 0x26;
    expect(() => decodeRequest(bytes, 3)).toThrow(
      expect.objectContaining({ code: 'nbd-magic', offset: 3, field: 'request.magic' }),
    );
  });

  it('any 28 bytes are a request or a WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 40 }), fc.boolean(), (bytes, magic) => {
        const input = Buffer.from(bytes);
        if (magic && input.length >= 4) input.writeUInt32BE(0x25609513, 0);
        const code = codeOf(() => decodeRequest(input));
        const expected = input.length < 28 ? 'nbd-truncated' : magic ? 'no error' : 'nbd-magic';
        expect(code).toBe(expected);
      }),
    );
  });
});

describe('NBD simple replies', () => {
  it('are read and written byte for byte', () => {
    const hex = '67446698 00000005 0000000100000002';
    const reply = { error: 5, cookieHigh: 1, cookieLow: 2 };
    expect(decodeSimpleReply(bytesOf(hex))).toEqual(reply);
    expect(encodeSimpleReply(reply)).toEqual(bytesOf(hex));
  });

  it('structured replies, which nobody asked for, are refused', () => {
    expect(codeOf(() => decodeSimpleReply(bytesOf('668e33ef 0001 0000 0000000000000001')))).toBe('nbd-magic');
  });

  it.each([
    [null, 0],
    ['EIO', 5],
    ['EINVAL', 22],
    ['ENOSPC', 28],
    ['ESHUTDOWN', 108],
  ])('error %s has the number %i in both directions', (name, number) => {
    expect(nbdError(name)).toBe(number);
    expect(nbdErrorName(number)).toBe(name);
  });

  it('an error that NBD has no number for is EIO', () => {
    expect(nbdError('ENXIO')).toBe(5);
    expect(nbdErrorName(9999)).toBe('EIO');
  });
});
