import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import {
  decodeGgateClientInit,
  decodeGgateHeader,
  decodeGgateServerInit,
  decodeGgateVersion,
  encodeGgateClientInit,
  encodeGgateHeader,
  encodeGgateServerInit,
  encodeGgateVersion,
} from '../../../src/protocol/ggate.ts';

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const MAGIC = '47454f4d5f47415445 20202020202020';
const PATH = `6469736b31 ${'00'.repeat(1020)}`;

/** Name, bytes as they stand on the wire, value, reader, writer. */
const TABLE: readonly (readonly [
  string,
  string,
  object,
  (bytes: Buffer) => object,
  (value: never) => Buffer,
])[] = [
  ['a version', `${MAGIC} 0000 0000`, { version: 0, error: 0 }, decodeGgateVersion, encodeGgateVersion],
  [
    'a refused version',
    `${MAGIC} 0007 002d`,
    { version: 7, error: 45 },
    decodeGgateVersion,
    encodeGgateVersion,
  ],
  [
    'a client that receives',
    `${PATH} 0000000000000004 0002 deadbeef`,
    { path: 'disk1', flags: 4, connections: 2, token: 0xdeadbeef },
    decodeGgateClientInit,
    encodeGgateClientInit,
  ],
  [
    'a reader that sends',
    `${PATH} 0000000000000009 0002 00000001`,
    { path: 'disk1', flags: 9, connections: 2, token: 1 },
    decodeGgateClientInit,
    encodeGgateClientInit,
  ],
  [
    'a server of 8 GiB',
    '00 0000000200000000 00000200 0000',
    { mediaBytes: 2 ** 33, sectorBytes: 512, error: 0 },
    decodeGgateServerInit,
    encodeGgateServerInit,
  ],
  [
    'a server that refuses',
    '00 0000000000000000 00000000 0002',
    { mediaBytes: 0, sectorBytes: 0, error: 2 },
    decodeGgateServerInit,
    encodeGgateServerInit,
  ],
  [
    'a read',
    '00 0000000000001000 00000200 0000000000000001 0000',
    { command: 0, offset: 4096, length: 512, seqHigh: 0, seqLow: 1, error: 0 },
    decodeGgateHeader,
    encodeGgateHeader,
  ],
  [
    'a write above 4 GiB',
    '01 0000000200000200 00020000 ffffffff00000002 0000',
    { command: 1, offset: 2 ** 33 + 512, length: 131072, seqHigh: 0xffffffff, seqLow: 2, error: 0 },
    decodeGgateHeader,
    encodeGgateHeader,
  ],
  [
    'a failed answer',
    '00 0000000000000000 00000200 0000000000000003 0005',
    { command: 0, offset: 0, length: 512, seqHigh: 0, seqLow: 3, error: 5 },
    decodeGgateHeader,
    encodeGgateHeader,
  ],
];

describe('ggate', () => {
  it.each(TABLE)('%s is read and written byte for byte', (_name, hex, value, decode, encode) => {
    expect(decode(bytesOf(hex))).toEqual(value);
    expect(encode(value as never)).toEqual(bytesOf(hex));
  });

  it.each(TABLE)('%s that stops early is truncated, wherever it stops', (_name, hex, _value, decode) => {
    const whole = bytesOf(hex);
    for (let end = 0; end < whole.length; end += 1) {
      expect(() => decode(whole.subarray(0, end))).toThrow(
        expect.objectContaining({ name: 'WireError', code: 'ggate-truncated' }),
      );
    }
  });

  it('a path is what stands before its zero byte: behind it a client leaves anything', () => {
    const bytes = bytesOf(`${PATH} 0000000000000004 0002 deadbeef`);
    bytes.fill(0xaa, 6, 1025);
    expect(decodeGgateClientInit(bytes).path).toBe('disk1');
  });

  it('a path without end, or one that does not fit, is refused', () => {
    const endless = Buffer.alloc(1039, 0x61);
    const refused = expect.objectContaining({ code: 'ggate-path' }) as unknown;
    expect(() => decodeGgateClientInit(endless)).toThrow(refused);
    const init = { flags: 4, connections: 2, token: 1 };
    expect(() => encodeGgateClientInit({ path: 'a'.repeat(1025), ...init })).toThrow(refused);
    expect(() => encodeGgateClientInit({ path: 'a\0b', ...init })).toThrow(refused);
    expect(
      decodeGgateClientInit(encodeGgateClientInit({ path: 'a'.repeat(1024), ...init })).path,
    ).toHaveLength(1024);
  });

  it('another magic is no ggate', () => {
    expect(() => decodeGgateVersion(Buffer.alloc(20, 0x20))).toThrow(
      expect.objectContaining({ code: 'ggate-magic' }),
    );
  });

  it('120,000 mutated messages are read or refused, never anything else', () => {
    let state = 0x2545f491;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const samples = TABLE.map(([, hex, , decode]) => [bytesOf(hex), decode] as const);
    let read = 0;
    for (let round = 0; round < 120_000; round += 1) {
      const [whole, decode] = samples[round % samples.length] ?? [Buffer.alloc(0), decodeGgateHeader];
      const bytes = Buffer.from(whole.subarray(0, random(4) === 0 ? random(whole.length) : whole.length));
      for (let change = random(4); change >= 0 && bytes.length > 0; change -= 1)
        bytes[random(bytes.length)] = random(256);
      try {
        decode(bytes);
        read += 1;
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }
    expect(read).toBeGreaterThan(10_000);
  });
});
