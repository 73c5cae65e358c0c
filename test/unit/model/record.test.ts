import { describe, expect, test } from 'vitest';
import { ownsAlone, VIRGIN_RECORD } from '../../../src/model/record.ts';
import type { ResourceRecord } from '../../../src/model/record.ts';

const ALONE: ResourceRecord = { ...VIRGIN_RECORD, state: 'clean', primary: 'alpha', inSync: ['alpha'] };

describe('a node owns the data alone', () => {
  test('when its record says so and nothing casts doubt on it', () => {
    expect(ownsAlone(ALONE, { kind: 'inSync' }, 'alpha')).toBe(true);
  });

  test.each([
    ['unknown', { kind: 'unknown', why: 'a plain hastd wrote to this disk since' }],
    ['inconsistent', { kind: 'inconsistent' }],
    ['behind', { kind: 'behind', extents: 1 }],
  ] as const)('not when its disk is %s, whatever the record says', (_, freshness) => {
    expect(ownsAlone(ALONE, freshness, 'alpha')).toBe(false);
  });

  test.each([
    ['another was primary', { primary: 'beta' }],
    ['another has everything, too', { inSync: ['alpha', 'beta'] }],
    ['it is outdated', { state: 'outdated' }],
  ] as const)('not when %s', (_, change) => {
    expect(ownsAlone({ ...ALONE, ...change }, { kind: 'inSync' }, 'alpha')).toBe(false);
  });
});
