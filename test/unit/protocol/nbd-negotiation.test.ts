import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import {
  decodeClientFlags,
  decodeGoOption,
  decodeGreeting,
  decodeInfo,
  decodeOptionHeader,
  decodeOptionReplyHeader,
  encodeBlockSizeInfo,
  encodeClientFlags,
  encodeExportInfo,
  encodeExportNameAnswer,
  encodeGoOption,
  encodeGreeting,
  encodeOption,
  encodeOptionReply,
  encodeServerName,
} from '../../../src/protocol/nbd-negotiation.ts';

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

const GREETING = '4e42444d41474943 49484156454f5054 0003';
const GO = '00000005 6469736b31 0001 0003';
const OPTION = '49484156454f5054 00000007 0000000d';
const OPTION_REPLY = '0003e889045565a9 00000007 00000003 0000000c';
const EXPORT = '0000 0000000004000000 000d';
const BLOCK_SIZE = '0003 00000200 00001000 02000000';

describe('the NBD handshake', () => {
  it.each([
    ['greeting', GREETING, encodeGreeting()],
    ['client flags', '00000003', encodeClientFlags(3)],
    ['go', GO, encodeGoOption({ name: 'disk1', infos: [3] })],
    ['option', `${OPTION}${GO}`, encodeOption(7, bytesOf(GO))],
    ['option reply', `${OPTION_REPLY}${EXPORT}`, encodeOptionReply(7, 3, bytesOf(EXPORT))],
    ['export information', EXPORT, encodeExportInfo(64 * 1024 * 1024, 13)],
    ['block size information', BLOCK_SIZE, encodeBlockSizeInfo(512, 4096, 32 * 1024 * 1024)],
    ['listed name', '00000005 6469736b31', encodeServerName('disk1')],
    ['short export name answer', '0000000004000000 000d', encodeExportNameAnswer(64 * 1024 * 1024, 13, true)],
    [
      'long export name answer',
      `0000000004000000 000d ${'00'.repeat(124)}`,
      encodeExportNameAnswer(64 * 1024 * 1024, 13, false),
    ],
  ])('%s is written byte for byte', (_name, hex, encoded) => {
    expect(encoded).toEqual(bytesOf(hex));
  });

  it.each([
    ['greeting', GREETING, decodeGreeting, 3],
    ['client flags', '00000001', decodeClientFlags, { noZeroes: false }],
    ['go', GO, decodeGoOption, { name: 'disk1', infos: [3] }],
    ['option', OPTION, decodeOptionHeader, { option: 7, length: 13 }],
    ['option reply', OPTION_REPLY, decodeOptionReplyHeader, { option: 7, type: 3, length: 12 }],
    ['export information', EXPORT, decodeInfo, { kind: 'export', sizeBytes: 64 * 1024 * 1024, flags: 13 }],
    [
      'block size information',
      BLOCK_SIZE,
      decodeInfo,
      { kind: 'block-size', minimum: 512, preferred: 4096, maximum: 32 * 1024 * 1024 },
    ],
    ['information that we do not know', '0063 01', decodeInfo, { kind: 'other', type: 99 }],
  ])('%s is read back', (_name, hex, decode: (bytes: Buffer) => unknown, expected) => {
    expect(decode(bytesOf(hex))).toEqual(expected);
  });

  it.each([
    ['greeting', GREETING, decodeGreeting],
    ['client flags', '00000003', decodeClientFlags],
    ['go', GO, decodeGoOption],
    ['option', OPTION, decodeOptionHeader],
    ['option reply', OPTION_REPLY, decodeOptionReplyHeader],
    ['export information', EXPORT, decodeInfo],
    ['block size information', BLOCK_SIZE, decodeInfo],
  ])('%s cut anywhere is a WireError', (_name, hex, decode: (bytes: Buffer) => unknown) => {
    const whole = bytesOf(hex);
    for (let end = 0; end < whole.length; end += 1) {
      expect(() => decode(whole.subarray(0, end))).toThrow(WireError);
    }
  });

  it.each([
    [
      'an oldstyle greeting',
      () => decodeGreeting(bytesOf('4e42444d41474943 00420281861253 000000')),
      'nbd-magic',
    ],
    ['client flags that were not offered', () => decodeClientFlags(encodeClientFlags(4)), 'nbd-client-flags'],
    [
      'an option of a gigabyte',
      () => decodeOptionHeader(bytesOf('49484156454f5054 00000007 40000000')),
      'nbd-option-length',
    ],
    ['an option without its magic', () => decodeOptionHeader(Buffer.alloc(16)), 'nbd-magic'],
    [
      'a name longer than its option',
      () => decodeGoOption(bytesOf('00000100 6469736b31 0000')),
      'nbd-truncated',
    ],
    ['a name of a gigabyte', () => decodeGoOption(bytesOf('40000000 6469736b31 0000')), 'nbd-option-length'],
    ['more wishes than bytes', () => decodeGoOption(bytesOf('00000000 0002 0003')), 'nbd-option-length'],
    ['bytes behind the wishes', () => decodeGoOption(bytesOf('00000000 0000 00')), 'nbd-option-length'],
  ])('%s is refused', (_name, act, code) => {
    expect(act).toThrow(expect.objectContaining({ name: 'WireError', code }));
  });

  it('names of any text survive', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.array(fc.nat(65535), { maxLength: 9 }),
        (name, infos) => {
          expect(decodeGoOption(encodeGoOption({ name, infos }))).toEqual({ name, infos });
        },
      ),
    );
  });

  it('any bytes as an option are read or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeGoOption(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
