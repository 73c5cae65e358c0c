import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import { decodeNv, encodeNv } from '../../../src/protocol/nv.ts';
import type { NvField } from '../../../src/protocol/nv.ts';

const FIELDS: NvField[] = [
  { name: 'a', type: 'int8', value: -128 },
  { name: 'seventh', type: 'uint8', value: 255 },
  { name: 'eighth__', type: 'int16', value: -32768 },
  { name: 'c', type: 'uint16', value: 65535 },
  { name: 'd', type: 'int32', value: -2147483648 },
  { name: 'e', type: 'uint32', value: 4294967295 },
  { name: 'f', type: 'int64', value: -9223372036854775808n },
  { name: 'g', type: 'uint64', value: 18446744073709551615n },
  { name: 'token', type: 'bytes', value: Buffer.from('00ff10', 'hex') },
  { name: 'text', type: 'string', value: 'Ünïcode' },
  { name: 'empty', type: 'string', value: '' },
];

/** One entry, by hand. */
function entry(
  type: number,
  name: string,
  value: string,
  over: { namesize?: number; dsize?: number } = {},
): Buffer {
  const bytes = Buffer.from(value, 'hex');
  const nameBytes = name.length + 1;
  const padded = (nameBytes + 7) & ~7;
  const out = Buffer.alloc(6 + padded + ((bytes.length + 7) & ~7));
  out[0] = type;
  out[1] = over.namesize ?? nameBytes;
  out.writeUInt32LE(over.dsize ?? bytes.length, 2);
  out.write(name, 6);
  out.set(bytes, 6 + padded);
  return out;
}

describe('nv', () => {
  it('gives back every type at its limits, in order', () => {
    expect(decodeNv(encodeNv(FIELDS)).fields()).toEqual(FIELDS);
  });

  it('lays an entry out as hastd does', () => {
    const encoded = encodeNv([{ name: 'version', type: 'uint8', value: 2 }]);
    expect(encoded.toString('hex')).toBe(
      `020801000000${Buffer.from('version\0').toString('hex')}0200000000000000`,
    );
  });

  it('looks up by name and type, and the first of two fields wins', () => {
    const map = decodeNv(
      encodeNv([
        { name: 'size', type: 'uint32', value: 7 },
        { name: 'size', type: 'uint32', value: 8 },
        { name: 'length', type: 'uint64', value: 2n ** 40n },
      ]),
    );
    expect(map.number('size', 'uint32')).toBe(7);
    expect(map.size('length')).toBe(2 ** 40);
    expect(map.number('siz', 'uint32')).toBeUndefined();
    expect(map.string('nothing')).toBeUndefined();
    expect(map.has('size')).toBe(true);
    expect(() => map.number('size', 'int32')).toThrow(expect.objectContaining({ code: 'nv-type' }) as Error);
    expect(() => map.string('length')).toThrow(expect.objectContaining({ code: 'nv-type' }) as Error);
  });

  it('refuses a size that a double cannot hold', () => {
    const map = decodeNv(encodeNv([{ name: 'offset', type: 'uint64', value: 2n ** 53n }]));
    expect(() => map.size('offset')).toThrow(expect.objectContaining({ code: 'nv-range' }) as Error);
    expect(map.big('offset', 'uint64')).toBe(2n ** 53n);
  });

  it('stops at a zero type byte, whatever follows', () => {
    const encoded = Buffer.concat([encodeNv(FIELDS.slice(0, 2)), Buffer.from([0, 0xff, 0xff])]);
    expect(decodeNv(encoded).fields()).toHaveLength(2);
  });

  it('keeps arrays of other types as they came', () => {
    const map = decodeNv(entry(14, 'words', '0100000002000000'));
    expect(map.fields()).toEqual([
      { name: 'words', type: 'opaque', code: 14, value: Buffer.from('0100000002000000', 'hex') },
    ]);
  });

  it('ignores garbage in the padding of names', () => {
    const encoded = encodeNv([{ name: 'cmd', type: 'uint8', value: 2 }]);
    encoded.fill(0xb5, 10, 14);
    expect(decodeNv(encoded).number('cmd', 'uint8')).toBe(2);
  });

  it.each([
    ['a value that runs past the end', entry(17, 'a', '00').subarray(0, -1), 'nv-truncated'],
    ['a header that is cut off', Buffer.from('0201', 'hex'), 'nv-truncated'],
    ['a value length near 2^32', entry(10, 'a', '00', { dsize: 0xffffffff }), 'nv-truncated'],
    ['an unknown type', entry(18, 'a', '00'), 'nv-type'],
    ['host byte order', entry(0x82, 'a', '00'), 'nv-type'],
    ['a name without end', entry(2, 'abc', '00', { namesize: 3 }), 'nv-name'],
    ['a name that ends early', entry(2, 'a\0c', '00'), 'nv-name'],
    ['no name at all', entry(2, '', '00', { namesize: 0 }), 'nv-name'],
    ['a scalar of the wrong width', entry(6, 'a', '0000'), 'nv-value'],
    ['an array of broken width', entry(14, 'a', '000000'), 'nv-value'],
    ['an empty array', entry(10, 'a', ''), 'nv-value'],
    ['an empty string value', entry(17, 'a', ''), 'nv-value'],
    ['a string without NUL', entry(17, 'a', '4142'), 'nv-value'],
    ['a string with a NUL inside', entry(17, 'a', '41004200'), 'nv-value'],
  ])('refuses %s', (_what, bytes, code) => {
    expect(() => decodeNv(bytes)).toThrow(expect.objectContaining({ code }) as Error);
  });

  it.each<[string, NvField]>([
    ['a number out of range', { name: 'a', type: 'uint8', value: 256 }],
    ['a fraction', { name: 'a', type: 'uint32', value: 0.5 }],
    ['an empty name', { name: '', type: 'uint8', value: 1 }],
    ['a name of 255 bytes', { name: 'n'.repeat(255), type: 'uint8', value: 1 }],
    ['a NUL in a string', { name: 'a', type: 'string', value: 'x\0y' }],
    ['an empty array', { name: 'a', type: 'bytes', value: Buffer.alloc(0) }],
  ])('does not encode %s', (_what, field) => {
    expect(() => encodeNv([field])).toThrow(expect.objectContaining({ code: 'nv-field' }) as Error);
  });

  it('throws nothing but WireError for mutated and truncated input', () => {
    const good = encodeNv(FIELDS);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
        fc.nat(good.length),
        (changes, length) => {
          const bytes = Buffer.from(good.subarray(0, length));
          for (const [at, value] of changes) if (at < length) bytes[at] = value;
          try {
            decodeNv(bytes).fields();
          } catch (error) {
            if (!(error instanceof WireError)) throw error;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
