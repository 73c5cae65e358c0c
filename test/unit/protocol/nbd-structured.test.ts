import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import { viewOf } from '../../../src/protocol/nbd.ts';
import {
  decodeChunkHeader,
  decodeStatus,
  statusChunkBytes,
  writeDataHeader,
  writeErrorChunk,
  writeStatusChunk,
} from '../../../src/protocol/nbd-structured.ts';

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

function written(bytes: number, write: (view: DataView, at: number) => void): Buffer {
  const whole = Buffer.alloc(bytes + 3, 0xee);
  write(viewOf(whole), 3);
  expect(whole.subarray(0, 3)).toEqual(Buffer.alloc(3, 0xee));
  return whole.subarray(3);
}

const PIECES = [
  { length: 512, hole: false },
  { length: 0xfffffe00, hole: true },
];
const STATUS = '668e33ef 0001 0005 0000000900000001 00000014 00000001 00000200 00000000 fffffe00 00000003';

describe('NBD structured replies', () => {
  it.each([
    [
      'data of 4096 bytes at 512',
      '668e33ef 0001 0001 0000000900000001 00001008 0000000000000200',
      written(28, (view, at) => writeDataHeader(view, at, 9, 1, 512, 4096)),
    ],
    [
      'data far behind 4 GiB',
      '668e33ef 0001 0001 ffffffff80000000 00000208 0001ffffffff8000',
      written(28, (view, at) => writeDataHeader(view, at, 0xffffffff, 0x80000000, 2 ** 49 - 2 ** 15, 512)),
    ],
    [
      'an error without words',
      '668e33ef 0001 8001 0000000900000001 00000006 00000016 0000',
      written(26, (view, at) => writeErrorChunk(view, at, 22, 9, 1)),
    ],
    [
      'where holes are',
      STATUS,
      written(statusChunkBytes(2), (view, at) => writeStatusChunk(view, at, 9, 1, 1, PIECES)),
    ],
  ])('%s is written byte for byte', (_name, hex, bytes) => {
    expect(bytes.toString('hex')).toBe(bytesOf(hex).toString('hex'));
  });

  it('are read back', () => {
    const bytes = bytesOf(STATUS);
    const header = { flags: 1, type: 5, cookieHigh: 9, cookieLow: 1, length: 20 };
    expect(decodeChunkHeader(bytes)).toEqual(header);
    expect(decodeStatus(bytes.subarray(20))).toEqual({ context: 1, pieces: PIECES });
  });

  it('take nothing for a hole but what reads as zeros', () => {
    const flags = [0, 1, 2, 3].map((flag) => `00000200 0000000${flag}`).join('');
    const { pieces } = decodeStatus(bytesOf(`00000001 ${flags}`));
    expect(pieces.map(({ hole }) => hole)).toEqual([false, false, false, true]);
  });

  it.each([
    ['a simple reply', () => decodeChunkHeader(bytesOf(`67446698 ${'00'.repeat(16)}`)), 'nbd-magic'],
    ['half a header', () => decodeChunkHeader(bytesOf('668e33ef 0001')), 'nbd-truncated'],
    ['no piece', () => decodeStatus(bytesOf('00000001')), 'nbd-truncated'],
    ['half a piece', () => decodeStatus(bytesOf(`00000001 ${'00'.repeat(12)}`)), 'nbd-status-length'],
  ])('that are %s are refused', (_name, act, code) => {
    expect(act).toThrow(expect.objectContaining({ name: 'WireError', code }));
    expect(act).toThrow(WireError);
  });
});
