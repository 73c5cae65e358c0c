/** The table by which a disk that returns is classified: by its generations, everywhere in the same way. */
import { describe, expect, test } from 'vitest';
import {
  compareHistories,
  freshnessByExchange,
  type Generations,
  type HistoryRelation,
  NO_ID,
  type ResourceRecord,
  VIRGIN_RECORD,
} from '../../../src/model/record.ts';
import { splitBetween } from '../../../src/model/resolve.ts';
import { decideByHistory } from '../../../src/replication/split-brain.ts';

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(16)) as [
  string,
  string,
  string,
  string,
];
const of = (current: string, previous = NO_ID): Generations => ({ current, previous });

interface Case {
  readonly name: string;
  /** The disk that stayed, and the one that returns. */
  readonly ours: Generations;
  readonly theirs: Generations;
  readonly relation: HistoryRelation;
  /** What ours is worth while nobody is primary. */
  readonly worth: 'inSync' | 'outdated' | 'unknown';
  /** The returning one is primary and ours its secondary: who copies; null: hastd's counters decide. */
  readonly copies: 'primary' | 'secondary' | 'split-brain' | 'refuse' | null;
  readonly split: boolean;
}

const CASES: readonly Case[] = [
  {
    name: 'the same generation',
    ours: of(B, A),
    theirs: of(B, A),
    relation: 'same',
    worth: 'inSync',
    copies: 'primary',
    split: false,
  },
  {
    name: 'the same generation, of which one forgot what was before',
    ours: of(B, A),
    theirs: of(B),
    relation: 'same',
    worth: 'inSync',
    copies: 'primary',
    split: false,
  },
  {
    name: 'the generation before ours: it is behind',
    ours: of(B, A),
    theirs: of(A),
    relation: 'theyAreBehind',
    worth: 'inSync',
    copies: 'secondary',
    split: false,
  },
  {
    name: 'the generation after ours: we are behind',
    ours: of(A),
    theirs: of(B, A),
    relation: 'weAreBehind',
    worth: 'outdated',
    copies: 'primary',
    split: false,
  },
  {
    name: 'another generation after the same one: both went on',
    ours: of(B, A),
    theirs: of(C, A),
    relation: 'diverged',
    worth: 'unknown',
    copies: 'split-brain',
    split: true,
  },
  {
    name: 'a generation without any in common',
    ours: of(B, A),
    theirs: of(D, C),
    relation: 'unrelated',
    worth: 'unknown',
    copies: 'refuse',
    split: false,
  },
  {
    name: 'two first generations: no common one is known',
    ours: of(B),
    theirs: of(C),
    relation: 'unrelated',
    worth: 'unknown',
    copies: 'refuse',
    split: false,
  },
  {
    name: 'a generation two before ours: too old to be told from a stranger',
    ours: of(C, B),
    theirs: of(A),
    relation: 'unrelated',
    worth: 'unknown',
    copies: 'refuse',
    split: false,
  },
  {
    name: 'a virgin disk',
    ours: of(B, A),
    theirs: of(NO_ID),
    relation: 'theyAreVirgin',
    worth: 'inSync',
    copies: null,
    split: false,
  },
  {
    name: 'a used disk to a virgin one',
    ours: of(NO_ID),
    theirs: of(B, A),
    relation: 'weAreVirgin',
    worth: 'unknown',
    copies: null,
    split: false,
  },
  {
    name: 'a virgin disk to a virgin one',
    ours: of(NO_ID),
    theirs: of(NO_ID),
    relation: 'bothVirgin',
    worth: 'unknown',
    copies: null,
    split: false,
  },
];

const record = (node: string, generations: Generations): ResourceRecord => ({
  ...VIRGIN_RECORD,
  generations,
  ...(generations.current === NO_ID
    ? {}
    : {
        state: 'clean',
        primary: node,
        inSync: ['us', 'them'],
        epoch: { number: node === 'us' ? 3 : 4, id: A },
      }),
});

describe('a disk returns with', () => {
  test.each(CASES)('$name', ({ ours, theirs, relation, worth, copies, split }) => {
    expect(compareHistories(ours, theirs)).toBe(relation);
    const [us, them] = [record('us', ours), record('them', theirs)];
    expect(freshnessByExchange(us, them, 'us').kind).toBe(worth);
    expect(splitBetween(us, them) !== null).toBe(split);
    const meeting = decideByHistory(us, them);
    expect(meeting?.kind === 'sync' ? meeting.source : (meeting?.kind ?? null)).toBe(copies);
  });

  test.each(CASES)('$name: the other node sees the mirror image', ({ ours, theirs, relation }) => {
    const mirrored: Partial<Record<HistoryRelation, HistoryRelation>> = {
      ...{ theyAreBehind: 'weAreBehind', weAreBehind: 'theyAreBehind' },
      ...{ theyAreVirgin: 'weAreVirgin', weAreVirgin: 'theyAreVirgin' },
    };
    expect(compareHistories(theirs, ours)).toBe(mirrored[relation] ?? relation);
  });

  test('the same generation, half resynced: the whole copy is the source, whoever is primary', () => {
    const half = { ...record('us', of(B, A)), state: 'inconsistent' } as const;
    const whole = record('them', of(B, A));
    expect(decideByHistory(half, whole)).toMatchObject({ kind: 'sync', source: 'primary' });
    expect(decideByHistory(whole, half)).toMatchObject({ kind: 'sync', source: 'secondary' });
    expect(decideByHistory(half, half)?.kind).toBe('refuse');
    expect(freshnessByExchange(half, whole, 'us').kind).toBe('inconsistent');
  });

  test('the generation after ours, half resynced: neither copy is whole', () => {
    const newer = { ...record('them', of(B, A)), state: 'inconsistent' } as const;
    expect(decideByHistory(record('us', of(A)), newer)?.kind).toBe('refuse');
  });
});
