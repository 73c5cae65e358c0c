import { describe, expect, it } from 'vitest';
import { type ResourceRecord, VIRGIN_RECORD } from '../../../src/model/record.ts';
import { type CopyFacts, judgeResolve, notKnown, resolvePlan } from '../../../src/model/resolve.ts';

const id = (digit: string): string => digit.repeat(16);

const record = (node: string, changes: Partial<ResourceRecord> = {}): ResourceRecord => ({
  ...VIRGIN_RECORD,
  ...{ state: 'clean', primary: node, inSync: [node] },
  ...changes,
});

const copy = (node: string, changes: Partial<CopyFacts> = {}): CopyFacts => ({
  ...{ node, role: 'secondary', group: 'storage', error: null, record: record(node) },
  ...{ dirtyExtents: 2, dirtyBytes: 4096, extentBytes: 2048, dataBytes: 65_536 },
  ...changes,
});

const history = (current: string, previous: string, number = 1): Partial<ResourceRecord> => ({
  epoch: { number, id: id(current) },
  generations: { current: id(current), previous: id(previous) },
});

const KEEP = copy('a', { record: record('a', history('1', '9')) });
const DISCARD = copy('b', { record: record('b', history('2', '9', 2)) });

const judge = (keep: Partial<CopyFacts>, discard: Partial<CopyFacts>, demote = false) =>
  judgeResolve({
    resource: 'disk1',
    keep: { ...KEEP, ...keep },
    discard: { ...DISCARD, ...discard },
    demote,
  });

describe('one of two copies is given up', () => {
  it('when both went on from a common history, whoever has the higher epoch', () => {
    const swapped = judgeResolve({ resource: 'disk1', keep: DISCARD, discard: KEEP, demote: false });
    for (const verdict of [judge({}, {}), swapped])
      expect(verdict).toMatchObject({ answer: 'discard', reasons: [{ rule: 'D5', code: 'split-brain' }] });
  });

  it('when both were primary in one epoch, even if the histories look the same', () => {
    const [one, other] = ['1', '2'].map((digit) => ({
      epoch: { number: 4, id: id(digit) },
      generations: { current: id('9'), previous: id('8') },
    }));
    expect(judge({ record: record('a', one) }, { record: record('b', other) }).answer).toBe('discard');
  });

  it('when it is primary only on the explicit word to take its group down, which is the first thing done', () => {
    const verdict = judge({}, { role: 'primary' });
    expect(verdict).toMatchObject({ answer: 'refuse', reasons: [{ code: 'discard-is-primary' }] });
    expect(verdict.next).toContain('hastate resolve disk1 --discard b --demote');
    expect(judge({}, { role: 'primary' }, true).answer).toBe('discard');
    const question = { resource: 'disk1', keep: KEEP, demote: true };
    expect(resolvePlan({ ...question, discard: { ...DISCARD, role: 'primary' } })[0]).toMatch(
      /^b: take storage down/,
    );
    expect(resolvePlan({ ...question, discard: DISCARD })[0]).toMatch(/^b: record durably/);
  });

  it('although the kept one is primary', () => {
    expect(judge({ role: 'primary' }, {}).answer).toBe('discard');
  });
});

describe('nothing is given up', () => {
  it.each([
    ['the histories are the same', history('1', '9'), history('1', '9'), 'no-split-brain', 'same history'],
    [
      'the one to be discarded only lacks writes',
      history('1', '9', 2),
      history('9', '8'),
      'no-split-brain',
      'b only lacks what a wrote',
    ],
    [
      'the one to be kept lacks writes',
      history('9', '8'),
      history('1', '9', 2),
      'no-split-brain',
      'a only lacks what b wrote',
    ],
    ['one was never used', history('1', '9'), history('0', '0', 0), 'no-split-brain', 'without a history'],
    [
      'they have no history in common',
      history('1', '9'),
      history('2', '8', 2),
      'no-common-history',
      'no history in common',
    ],
  ] as const)('when %s', (_, keep, discard, code, text) => {
    const verdict = judge({ record: record('a', keep) }, { record: record('b', discard) }, true);
    expect(verdict).toMatchObject({ answer: 'refuse', reasons: [{ code }] });
    expect(verdict.reasons[0]?.text).toContain(text);
    expect(verdict.reasons[0]?.text).toMatch(/nothing is discarded$/);
  });

  it('when the kept one is no whole copy', () => {
    const keep = record('a', { ...history('1', '9'), state: 'inconsistent' });
    const verdict = judge({ record: keep }, {}, true);
    expect(verdict).toMatchObject({ answer: 'refuse', reasons: [{ code: 'keeper-inconsistent' }] });
  });

  it.each([
    ['the kept disk is not open', { record: null }, {}],
    ['the kept disk fails', { error: 'it failed to flush' }, {}],
    ['the other disk is not open', {}, { record: null }],
    ['the other disk fails', {}, { error: 'it failed to flush' }],
  ])('when %s', (_, keep, discard) => {
    expect(judge(keep, discard, true)).toMatchObject({
      answer: 'refuse',
      reasons: [{ code: 'disk-unusable' }],
    });
  });
});

it('says that two activemaps bound how much the copies differ', () => {
  const question = { resource: 'disk1', keep: KEEP, discard: DISCARD, demote: false };
  expect(notKnown(question, null)[1]).toContain('at most 4 extents');
  const none = { extents: 0, bytes: 0 };
  const compared = notKnown(question, { keepOnly: none, discardOnly: none, both: none });
  expect(compared.join()).not.toContain('at most');
});
