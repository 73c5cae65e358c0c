import { describe, expect, test } from 'vitest';
import { compareHistories, ownsAlone, promoted, VIRGIN_RECORD } from '../../../src/model/record.ts';
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

describe('a node that takes over from one that left itself out of the record', () => {
  const GIVEN_UP: ResourceRecord = {
    ...VIRGIN_RECORD,
    ...{ state: 'clean', primary: 'alpha', inSync: ['beta'] },
    generations: { current: '1111111111111111', previous: '2222222222222222' },
  };
  const epoch = (number: number): { number: number; id: string } => ({ number, id: `${number}`.repeat(16) });
  const taken = promoted(GIVEN_UP, 'beta', epoch(3), ['beta']);

  test('begins a new history, which the other one is behind', () => {
    expect(compareHistories(taken.generations, GIVEN_UP.generations)).toBe('theyAreBehind');
  });

  test('went apart from it when that is forced, too', () => {
    const forced = promoted({ ...GIVEN_UP, state: 'inconsistent' }, 'alpha', epoch(4), ['alpha']);
    expect(compareHistories(taken.generations, forced.generations)).toBe('diverged');
  });
});
