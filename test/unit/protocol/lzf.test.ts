import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import { lzfCompress, lzfDecompress } from '../../../src/protocol/lzf.ts';

describe('lzf', () => {
  it.each([
    ['literals only', '02616263', 'abc'],
    ['a short match', '02616263' + '2002', 'abcabc'],
    ['a match that overlaps itself', '0061' + '6000', 'aaaaaa'],
    ['a long match', '0061' + 'e00100', 'a'.repeat(11)],
  ])('expands %s', (_what, stream, text) => {
    expect(lzfDecompress(Buffer.from(stream, 'hex'), text.length).toString()).toBe(text);
  });

  it.each([
    ['literals past the end', '05616263', 6],
    ['a match before the start', '006120ff', 4],
    ['a match that is cut off', '006120', 4],
    ['a long match that is cut off', '0061e0', 4],
    ['more than announced', '02616263', 2],
    ['less than announced', '02616263', 4],
    ['a match that expands too far', '0061e0ff00', 20],
  ])('refuses %s', (_what, stream, length) => {
    expect(() => lzfDecompress(Buffer.from(stream, 'hex'), length)).toThrow(
      expect.objectContaining({ code: 'lzf-corrupt' }) as Error,
    );
  });

  it('makes text small', () => {
    const text = Buffer.from('all work and no play makes a dull disk. '.repeat(200));
    const packed = lzfCompress(text, text.length);
    expect(packed?.length).toBeLessThan(text.length / 20);
  });

  it('gives up when the result would be longer than wanted', () => {
    const noise = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * i * 31 + (i >> 3) * 7) & 0xff));
    expect(lzfCompress(noise, 100)).toBeNull();
    expect(lzfCompress(Buffer.from('abc'), 3)).toBeNull();
    expect(lzfCompress(Buffer.from('abc'), 4)?.toString('hex')).toBe('02616263');
  });

  it('finds matches at the greatest distance and not beyond', () => {
    const unique = Buffer.from(
      Array.from({ length: 8300 * 2 }, (_, i) => (i % 2 ? i >> 9 : (i >> 1) & 0xff)),
    );
    for (const gap of [8189, 8190, 8191, 8192, 8193]) {
      const input = Buffer.concat([Buffer.from('MARK!'), unique.subarray(0, gap - 5), Buffer.from('MARK!')]);
      const packed = lzfCompress(input, input.length * 2);
      expect(packed && lzfDecompress(packed, input.length).equals(input)).toBe(true);
    }
  });

  it('gives back whatever it packed', () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.nat(200)).map(([unit, times]) => {
        return Uint8Array.from(Array.from({ length: times }, () => [...unit]).flat());
      }),
    );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 12 }), (chunks) => {
        const input = Buffer.concat(chunks);
        const packed = lzfCompress(input, input.length * 2 + 2);
        expect(packed && lzfDecompress(packed, input.length).equals(input)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it('throws nothing but WireError for noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(2000), (noise, length) => {
        try {
          lzfDecompress(Buffer.from(noise), length);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });
});
