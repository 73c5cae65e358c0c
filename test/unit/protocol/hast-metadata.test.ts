import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import type { ResourceRecord } from '../../../src/model/record.ts';
import {
  activemapBytes,
  decodeMetadataBlock,
  encodeMetadataBlock,
  encodeThirdCopy,
  layout,
  mapBit,
} from '../../../src/protocol/hast-metadata.ts';
import type { HastMetadata, OwnMetadata } from '../../../src/protocol/hast-metadata.ts';
import { maskNamePadding, vectorBytes, vectorJson, vectorNames } from './hast-vectors.ts';

interface MetadataVector {
  nv: { name: string; value: number | string }[];
  activemap_offset: number;
  activemap_ondisk_bytes: number;
  dirty_extents: number[];
}
const vectors = vectorNames('metadata').flatMap((file) => (file.endsWith('.bin') ? [file.slice(0, -4)] : []));

const META: HastMetadata = {
  resource: 'disk1',
  datasize: 67104256,
  extentsize: 2097152,
  keepdirty: 64,
  offset: 4608,
  resuid: 0xfedcba9876543210n,
  localcnt: 1n,
  remotecnt: 2n,
  prevrole: 'primary',
};
const RECORD: ResourceRecord = {
  epoch: { number: 7, id: '0123456789abcdef' },
  generations: { current: '1111111111111111', previous: '2222222222222222' },
  state: 'clean',
  primary: 'hast1',
  inSync: ['hast1', 'hast2'],
  released: true,
};
const own = (sequence: bigint, record = RECORD): OwnMetadata => ({ record, sequence });
const block = (sequence: bigint, meta = META): Buffer => encodeMetadataBlock(meta, own(sequence));
const withB = (a: Buffer, b: Buffer): Buffer => Buffer.concat([a.subarray(0, 2048), b.subarray(2048)]);

describe.each(vectors)('captured metadata %s', (name) => {
  const bytes = vectorBytes(`metadata/${name}.bin`);
  const expected = vectorJson(`metadata/${name}.json`) as MetadataVector;
  const decoded = decodeMetadataBlock(bytes, null);

  it('decodes to hastd’s fields, and nothing is known beyond them', () => {
    const fields = Object.fromEntries(expected.nv.map(({ name: field, value }) => [field, String(value)]));
    expect(Object.fromEntries(Object.entries(decoded.meta).map(([k, v]) => [k, String(v)]))).toEqual(fields);
    expect(decoded).toMatchObject({ own: null, source: 'A', freshness: 'unknown' });
  });

  it('encodes back to the same block', () => {
    const masked = maskNamePadding(bytes.subarray(0, 4096));
    expect(encodeMetadataBlock(decoded.meta, null).equals(masked)).toBe(true);
  });

  it('has the map and the data where layout() puts them', () => {
    const { datasize, extentsize, offset } = decoded.meta;
    const expectedLayout = { mapBytes: expected.activemap_ondisk_bytes, localoff: offset, datasize };
    expect(layout(datasize + offset, extentsize, 512)).toMatchObject(expectedLayout);
    const map = bytes.subarray(expected.activemap_offset);
    const dirty = Array.from({ length: map.length * 8 }, (_, i) => i).filter((i) => mapBit(map, i));
    expect(dirty).toEqual(expected.dirty_extents);
  });
});

describe('our own part of the metadata', () => {
  it.each<[string, OwnMetadata]>([
    ['a full record', { ...own(3n), canary: 'aaaabbbbccccdddd' }],
    ['a virgin record', own(1n, VIRGIN_RECORD)],
    ['that of a disk that was given up', { ...own(4n), givenUp: true }],
    [
      'an inconsistent one',
      own(2n ** 63n, { ...RECORD, state: 'inconsistent', released: false, inSync: ['b'] }),
    ],
  ])('gives back %s', (_what, mine) => {
    expect(decodeMetadataBlock(encodeMetadataBlock(META, mine), null)).toEqual({
      meta: META,
      own: mine,
      source: 'A',
      freshness: 'recorded',
    });
  });

  it('stands behind hastd’s nine fields, which stay where hastd looks for them', () => {
    const plain = encodeMetadataBlock(META, null);
    const length = plain.indexOf(Buffer.from('primary\0')) + 8;
    expect(block(3n).subarray(0, length).equals(plain.subarray(0, length))).toBe(true);
  });

  it('is gone when hastd wrote last, whatever copies say', () => {
    const theirs = encodeMetadataBlock({ ...META, localcnt: 9n }, null);
    const decoded = decodeMetadataBlock(withB(theirs, block(3n)), encodeThirdCopy(META, own(99n)));
    expect(decoded).toMatchObject({ meta: { localcnt: 9n }, own: null, source: 'A', freshness: 'unknown' });
  });

  it('is taken from the copy with the higher sequence', () => {
    expect(decodeMetadataBlock(withB(block(3n), block(4n)), null)).toMatchObject({
      own: own(4n),
      source: 'B',
      freshness: 'recorded',
    });
    expect(decodeMetadataBlock(withB(block(5n), block(4n)), null)).toMatchObject({
      own: own(5n),
      source: 'A',
    });
  });

  it('does not follow a higher sequence in a damaged copy', () => {
    const damaged = withB(block(3n), block(4n));
    damaged[2048 + 40] = (damaged[2048 + 40] ?? 0) ^ 1;
    expect(decodeMetadataBlock(damaged, null)).toMatchObject({ own: own(3n), source: 'A' });
  });

  it.each([
    ['zeros', (bytes: Buffer) => bytes.fill(0, 0, 512)],
    ['noise', (bytes: Buffer) => bytes.fill(0xa5, 0, 512)],
    ['a torn second sector', (bytes: Buffer) => bytes.fill(0, 512, 1024)],
    ['one flipped bit of ours', (bytes: Buffer) => (bytes[bytes.indexOf('0123456789abcdef')] = 0x31)],
    ['one flipped bit of hastd’s', (bytes: Buffer) => (bytes[bytes.indexOf('disk1')] = 0x65)],
  ])('comes from copy B, with unknown freshness, when A is %s', (_what, damage) => {
    const bytes = block(3n);
    damage(bytes);
    const decoded = decodeMetadataBlock(bytes, encodeThirdCopy(META, own(2n)));
    expect(decoded).toEqual({ meta: META, own: own(3n), source: 'B', freshness: 'unknown' });
  });

  it('comes from the third copy when the block is lost or its copy B is older', () => {
    const third = encodeThirdCopy(META, own(4n));
    const expected = { meta: META, own: own(4n), source: 'third', freshness: 'unknown' };
    expect(decodeMetadataBlock(Buffer.alloc(4096), third)).toEqual(expected);
    expect(decodeMetadataBlock(withB(Buffer.alloc(4096), block(3n)), third)).toEqual(expected);
  });

  it('is absent when ours is damaged and no copy is left', () => {
    const bytes = block(3n).fill(0, 2048);
    bytes[bytes.indexOf('0123456789abcdef')] = 0x31;
    expect(decodeMetadataBlock(bytes, null)).toEqual({
      meta: META,
      own: null,
      source: 'A',
      freshness: 'unknown',
    });
  });

  it('refuses a block of which nothing can be read, and names too long to fit', () => {
    const unreadable = expect.objectContaining({ code: 'metadata-unreadable' }) as Error;
    expect(() => decodeMetadataBlock(Buffer.alloc(4096), null)).toThrow(unreadable);
    expect(() => decodeMetadataBlock(Buffer.alloc(4096, 0xff), Buffer.alloc(10))).toThrow(unreadable);
    expect(() => decodeMetadataBlock(Buffer.alloc(4095), null)).toThrow(WireError);
    const crowd = own(1n, { ...RECORD, inSync: Array.from({ length: 9 }, (_, i) => `${i}`.repeat(200)) });
    expect(() => encodeMetadataBlock(META, crowd)).toThrow(
      expect.objectContaining({ code: 'metadata-too-long' }) as Error,
    );
  });

  it('never shows a record that was not written, however the block is torn or mutated', () => {
    const before = block(3n);
    const after = encodeMetadataBlock({ ...META, localcnt: 2n }, own(4n, { ...RECORD, state: 'outdated' }));
    const records = [RECORD, { ...RECORD, state: 'outdated' }];
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        fc.array(fc.tuple(fc.nat(4095), fc.nat(255)), { maxLength: 2 }),
        (sectors, changes) => {
          const bytes = Buffer.from(before);
          sectors.forEach((isNew, i) => isNew && after.copy(bytes, i * 512, i * 512, i * 512 + 512));
          for (const [at, value] of changes) bytes[at] = value;
          try {
            const { own: shown } = decodeMetadataBlock(bytes, null);
            if (shown !== null) expect(records).toContainEqual(shown.record);
          } catch (error) {
            if (!(error instanceof WireError)) throw error;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

it('sizes the map in 64-bit words and whole sectors', () => {
  expect(activemapBytes(0, 4096)).toBe(0);
  expect(activemapBytes(64 * 4096, 4096)).toBe(8);
  expect(activemapBytes(64 * 4096 + 1, 4096)).toBe(16);
  expect(layout(64 * 2 ** 20, 2097152, 4096)).toEqual({
    mapBytes: 4096,
    localoff: 8192,
    datasize: 67100672,
    extents: 32,
  });
});
