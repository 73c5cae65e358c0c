import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import {
  MAX_QUERIES,
  decodeMetaContextOption,
  encodeMetaContext,
  encodeMetaContextOption,
} from '../../../src/protocol/nbd-meta-context.ts';

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

const NAME = '00000005 6469736b31';
const QUERY = '0000000f 626173653a616c6c6f636174696f6e';
const ONE = `${NAME} 00000001 ${QUERY}`;

describe('NBD contexts', () => {
  it.each([
    ['one query', ONE, { exportName: 'disk1', queries: ['base:allocation'] }],
    ['no query', `${NAME} 00000000`, { exportName: 'disk1', queries: [] }],
    [
      'two queries of the default export',
      `00000000 00000002 ${QUERY} 00000000`,
      { exportName: '', queries: ['base:allocation', ''] },
    ],
  ])('%s: read and written byte for byte', (_name, hex, option) => {
    expect(decodeMetaContextOption(bytesOf(hex))).toEqual(option);
    expect(encodeMetaContextOption(option)).toEqual(bytesOf(hex));
  });

  it('a context is told with its number', () => {
    expect(encodeMetaContext(1, 'base:allocation')).toEqual(
      bytesOf('00000001 626173653a616c6c6f636174696f6e'),
    );
  });

  it('an option cut anywhere is a WireError', () => {
    const whole = bytesOf(ONE);
    for (let end = 0; end < whole.length; end += 1)
      expect(() => decodeMetaContextOption(whole.subarray(0, end))).toThrow(WireError);
  });

  it.each([
    ['a name longer than its option', `00000006 6469736b31 00000000`, 'nbd-truncated'],
    ['a name of a gigabyte', `40000000 6469736b31 00000000`, 'nbd-option-length'],
    ['a query longer than its option', `${NAME} 00000001 00000010 6261`, 'nbd-truncated'],
    ['a query of more than 4 KiB', `${NAME} 00000001 00001001 ${'61'.repeat(4097)}`, 'nbd-option-length'],
    ['more queries than bytes', `${NAME} 00000002 ${QUERY}`, 'nbd-truncated'],
    ['four thousand million queries', `${NAME} ffffffff ${QUERY}`, 'nbd-truncated'],
    ['bytes behind the queries', `${ONE} 00`, 'nbd-option-length'],
    [
      'too many queries',
      `${NAME} ${(MAX_QUERIES + 1).toString(16).padStart(8, '0')} ${'00000000'.repeat(MAX_QUERIES + 1)}`,
      'nbd-query-count',
    ],
  ])('%s: refused', (_name, hex, code) => {
    expect(() => decodeMetaContextOption(bytesOf(hex))).toThrow(
      expect.objectContaining({ name: 'WireError', code }),
    );
  });

  it('any bytes are read or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeMetaContextOption(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
