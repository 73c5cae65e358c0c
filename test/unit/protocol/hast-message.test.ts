import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import {
  encodeFrame,
  encodeReply,
  encodeRequest,
  errnoFromWire,
  errnoToWire,
  FrameReader,
  HAST_CMD,
  packPayload,
  unpackPayload,
} from '../../../src/protocol/hast-message.ts';
import { decodeNv, encodeNv } from '../../../src/protocol/nv.ts';
import type { NvField } from '../../../src/protocol/nv.ts';
import { readInPieces } from './hast-vectors.ts';

const LIMITS = { maxNvBytes: 512, maxDataBytes: 4096 };
const request = (cmd: number, seq: bigint, offset: number, length: number): NvField[] => [
  { name: 'cmd', type: 'uint8', value: cmd },
  { name: 'seq', type: 'uint64', value: seq },
  { name: 'offset', type: 'uint64', value: offset },
  { name: 'length', type: 'uint64', value: length },
];
const code = (name: string): Error => expect.objectContaining({ code: name }) as Error;

describe('requests and replies from templates', () => {
  const extra: NvField[] = [{ name: 'hastate_at', type: 'uint64', value: 5n }];
  const dataFields: NvField[] = [{ name: 'compression', type: 'string', value: 'lzf' }];
  const memsync: NvField = { name: 'memsync', type: 'uint8', value: 1 };
  const seq: NvField = { name: 'seq', type: 'uint64', value: 9n };
  const data = Buffer.alloc(300);
  const head = (fields: NvField[], body?: Buffer): Buffer =>
    encodeFrame(2, fields, body)[0] ?? Buffer.alloc(0);

  it.each<[string, Buffer, Buffer]>([
    ['a read', encodeRequest(2, HAST_CMD.READ, 1n, 0, 4096), head(request(1, 1n, 0, 4096))],
    [
      'a write far out with the highest seq',
      encodeRequest(2, HAST_CMD.WRITE, 2n ** 64n - 1n, 2 ** 52 + 512, 300, { size: 300 }),
      head(request(2, 2n ** 64n - 1n, 2 ** 52 + 512, 300), data),
    ],
    [
      'a memsync write with everything',
      encodeRequest(2, HAST_CMD.WRITE, 7n, 4294967296, 300, { memsync: true, extra, dataFields, size: 300 }),
      head([...request(2, 7n, 4294967296, 300), memsync, ...extra, ...dataFields], data),
    ],
    ['a delete', encodeRequest(2, HAST_CMD.DELETE, 3n, 512, 2 ** 33), head(request(3, 3n, 512, 2 ** 33))],
    ['a flush', encodeRequest(2, HAST_CMD.FLUSH, 4n, 0, 0), head(request(4, 4n, 0, 0))],
    [
      'a keepalive',
      encodeRequest(2, HAST_CMD.KEEPALIVE, 0n, 0, 0),
      head([{ name: 'cmd', type: 'uint8', value: 5 }]),
    ],
    ['a reply', encodeReply(2, 9n), head([seq])],
    ['success', encodeReply(2, 9n, { error: 0 }), head([seq])],
    [
      'a refused memsync write',
      encodeReply(2, 9n, { received: true, error: 22 }),
      head([seq, { name: 'received', type: 'int8', value: 1 }, { name: 'error', type: 'int16', value: 22 }]),
    ],
    [
      'a failed read with extras',
      encodeReply(2, 9n, { error: 5, extra }),
      head([seq, { name: 'error', type: 'int16', value: 5 }, ...extra]),
    ],
    ['a read reply', encodeReply(2, 9n, { dataFields, size: 300 }), head([seq, ...dataFields], data)],
  ])('%s has the bytes of encodeFrame', (_what, fast, slow) => {
    expect(fast.toString('hex')).toBe(slow.toString('hex'));
  });

  it('carries the negotiated version', () => {
    expect(encodeRequest(1, HAST_CMD.FLUSH, 1n, 0, 0)[0]).toBe(1);
    expect(encodeReply(1, 1n)[0]).toBe(1);
  });
});

describe('frame reader', () => {
  const frame = Buffer.concat(encodeFrame(2, request(2, 1n, 0, 8), Buffer.from('payload!')));

  it('returns everything that a chunk holds, in place', () => {
    const chunk = Buffer.concat([frame, frame, frame.subarray(0, 20)]);
    const reader = new FrameReader(LIMITS);
    const frames = reader.push(chunk);
    expect(frames).toHaveLength(2);
    expect(frames[1]?.data?.buffer).toBe(chunk.buffer);
    expect(frames[1]?.data?.toString()).toBe('payload!');
    expect(reader.partial).toBe(true);
    expect(reader.push(frame.subarray(20))).toHaveLength(1);
    expect(reader.partial).toBe(false);
  });

  it('uses in place what spans chunks that follow each other in memory', () => {
    const reader = new FrameReader(LIMITS);
    expect(reader.push(frame.subarray(0, frame.length - 5))).toEqual([]);
    expect(reader.push(frame.subarray(frame.length - 5, frame.length - 3))).toEqual([]);
    const data = reader.push(frame.subarray(frame.length - 3))[0]?.data;
    expect(data?.toString()).toBe('payload!');
    expect(data?.buffer).toBe(frame.buffer);
  });

  it('copies what spans chunks that do not, even at the same place of other memory', () => {
    const reader = new FrameReader(LIMITS);
    const other = Buffer.from(frame.buffer.slice(0));
    const tail = Buffer.from(other.buffer, frame.byteOffset + frame.length - 3, 3);
    expect(reader.push(frame.subarray(0, frame.length - 3))).toEqual([]);
    const data = reader.push(tail)[0]?.data;
    expect(data?.toString()).toBe('payload!');
    expect(data?.buffer).not.toBe(frame.buffer);
  });

  it.each([
    ['a version above ours', Buffer.from([3]), 'frame-version'],
    ['too many fields, from the header alone', Buffer.from([2, 0xff, 0xff, 0xff, 0xff]), 'frame-nv-size'],
    [
      'too much data, before it comes',
      Buffer.concat(encodeFrame(2, [{ name: 'size', type: 'uint32', value: 4097 }])),
      'frame-data-size',
    ],
    [
      'no data where some is announced',
      Buffer.concat(encodeFrame(2, [{ name: 'size', type: 'uint32', value: 0 }])),
      'frame-data-size',
    ],
    [
      'a size of another type',
      Buffer.concat(encodeFrame(2, [{ name: 'size', type: 'uint64', value: 1 }])),
      'nv-type',
    ],
  ])('refuses %s, and everything after it', (_what, bytes, expected) => {
    const reader = new FrameReader(LIMITS);
    expect(() => reader.push(bytes)).toThrow(code(expected));
    expect(() => reader.push(frame)).toThrow(code(expected));
  });

  it('takes an empty chunk and a message without fields', () => {
    const reader = new FrameReader(LIMITS);
    expect(reader.push(Buffer.alloc(0))).toEqual([]);
    expect(reader.push(Buffer.concat(encodeFrame(2, [])))).toHaveLength(1);
  });

  it('throws nothing but WireError for mutated streams, in any pieces', () => {
    const good = Buffer.concat([frame, Buffer.concat(encodeFrame(2, request(1, 2n, 0, 8))), frame]);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }),
        fc.array(fc.nat(good.length), { maxLength: 4 }),
        (changes, cuts) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of changes) bytes[at] = value;
          const sorted = [...cuts].sort((a, b) => a - b);
          const outcome = (pieces: number[]): string => {
            try {
              return JSON.stringify(readInPieces(bytes, pieces).map(({ data }) => data?.toString('hex')));
            } catch (error) {
              if (!(error instanceof WireError)) throw error;
              return error.code;
            }
          };
          expect(outcome(sorted)).toBe(outcome([]));
        },
      ),
      { numRuns: 1500 },
    );
  });
});

describe('payload', () => {
  const text = Buffer.from('hast '.repeat(2000));
  const zeros = Buffer.alloc(4096);
  const unpack = (fields: NvField[], data: Buffer, length: number | null): Buffer =>
    unpackPayload(decodeNv(encodeNv(fields)), data, length, 131072);

  it.each([
    ['text as lzf', text, 'lzf', ['compression', 'checksum', 'hash']],
    ['zeros as a hole, even for lzf', zeros, 'lzf', ['compression', 'checksum', 'hash']],
    ['1024 bytes as they are', Buffer.from(text.subarray(0, 1024)), 'lzf', ['checksum', 'hash']],
    ['zeros as they are without compression', zeros, 'none', ['checksum', 'hash']],
    ['an odd number of zeros as they are', Buffer.alloc(9), 'hole', ['checksum', 'hash']],
  ] as const)('packs %s and unpacks it', (_what, data, compression, names) => {
    for (const sum of ['crc32', 'sha256'] as const) {
      const packed = packPayload(data, sum, compression);
      expect(packed.fields.map(({ name }) => name)).toEqual(names);
      expect(unpack(packed.fields, packed.data, data.length).equals(data)).toBe(true);
    }
  });

  it('copies nothing when nothing is done to the data', () => {
    const packed = packPayload(text, 'none', 'none');
    expect(packed).toEqual({ fields: [], data: text });
    expect(packed.data).toBe(text);
    expect(unpack([], text, text.length)).toBe(text);
  });

  const lzf: NvField = { name: 'compression', type: 'string', value: 'lzf' };
  const hole: NvField = { name: 'compression', type: 'string', value: 'hole' };
  it.each<[string, NvField[], string, number | null, string]>([
    ['lzf data without a stream (kills hastd)', [lzf], '00080000', null, 'payload-compression'],
    ['lzf data of another length', [lzf], '0008000000', 4096, 'payload-length'],
    ['lzf that expands to gigabytes', [lzf], 'ffffffff00', null, 'payload-length'],
    ['lzf that expands to less than it says', [lzf], '000800000061', 2048, 'lzf-corrupt'],
    ['a hole of gigabytes', [hole], 'ffffffff', null, 'payload-length'],
    ['a hole of nothing', [hole], '00000000', null, 'payload-length'],
    ['a hole with more behind it', [hole], '0010000000', 4096, 'payload-compression'],
    ['a cut-off hole', [hole], '0010', 4096, 'payload-compression'],
    ['unknown compression', [{ ...lzf, value: 'zip' }], '00', 1, 'payload-compression'],
    ['plain data of another length', [], '00', 2, 'payload-length'],
    [
      'a checksum without hash',
      [{ name: 'checksum', type: 'string', value: 'crc32' }],
      '00',
      1,
      'payload-checksum',
    ],
    ['a hash without checksum', [{ name: 'hash', type: 'bytes', value: zeros }], '00', 1, 'payload-checksum'],
  ])('refuses %s', (_what, fields, hex, length, expected) => {
    expect(() => unpack(fields, Buffer.from(hex, 'hex'), length)).toThrow(code(expected));
  });

  it('refuses data of which one bit changed', () => {
    const { fields, data } = packPayload(text, 'crc32', 'lzf');
    const changed = Buffer.from(data);
    changed[10] = (changed[10] ?? 0) ^ 1;
    expect(() => unpack(fields, changed, text.length)).toThrow(code('payload-checksum'));
  });
});

it('translates errors to FreeBSD numbers and back', () => {
  expect([errnoToWire('EOPNOTSUPP'), errnoToWire('ENOTSUP'), errnoToWire('EAGAIN')]).toEqual([45, 45, 35]);
  expect([errnoToWire('ENOSPC'), errnoToWire('EWHATEVER')]).toEqual([28, 5]);
  expect([errnoFromWire(45), errnoFromWire(22), errnoFromWire(9999)]).toEqual([
    'EOPNOTSUPP',
    'EINVAL',
    'EIO',
  ]);
});
