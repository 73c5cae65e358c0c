import { expect, it } from 'vitest';
import { type ResourceRecord, VIRGIN_RECORD, wasLatestPrimary } from '../../../src/model/record.ts';

const record = (primary: string, epoch: number, released = false): ResourceRecord => ({
  ...VIRGIN_RECORD,
  ...{ epoch: { number: epoch, id: `000000000000000${epoch}` }, state: 'clean', primary, released },
});

it.each([
  ['it was primary and the peer agrees', record('hasta', 3), record('hasta', 3), true],
  [
    'it was primary and the peer only knows of an earlier epoch',
    record('hasta', 3),
    record('hastb', 2),
    true,
  ],
  ['it was primary and the peer is not known yet', record('hasta', 3), null, true],
  ['it was primary and the peer was after it', record('hasta', 3), record('hastb', 4), false],
  ['the peer was primary', record('hastb', 3), record('hastb', 3), false],
  ['it handed over', record('hasta', 3, true), record('hasta', 3), false],
  [
    'both were primary in one epoch',
    record('hasta', 3),
    { ...record('hastb', 3), epoch: { number: 3, id: 'ff' } },
    false,
  ],
] as const)('a restarted node has all of an async history when %s ', (_, ours, theirs, expected) => {
  expect(wasLatestPrimary(ours, theirs, 'hasta')).toBe(expected);
});
