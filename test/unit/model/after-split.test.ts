/** Which copies are given up by a policy: over all combinations of roles and counts, and where nothing is certain. */
import { describe, expect, it, test } from 'vitest';
import { type AfterSplit, judgeAfterSplit, type MemberCopies } from '../../../src/model/after-split.ts';
import { type ResourceRecord, VIRGIN_RECORD } from '../../../src/model/record.ts';
import type { CopyFacts } from '../../../src/model/resolve.ts';
import type { HastRole } from '../../../src/model/roles.ts';

const id = (digit: string): string => digit.repeat(16);
const record = (node: string, current: string, previous: string): ResourceRecord => ({
  ...VIRGIN_RECORD,
  ...{ state: 'clean', primary: node, inSync: [node] },
  epoch: { number: node === 'a' ? 3 : 4, id: id(current) },
  generations: { current: id(current), previous: id(previous) },
});

const copy = (node: 'a' | 'b', dirtyExtents: number, role: HastRole = 'secondary'): CopyFacts => ({
  ...{ node, role, group: 'storage', error: null, dirtyExtents, dirtyBytes: dirtyExtents * 2048 },
  record: record(node, node === 'a' ? '1' : '2', '9'),
  ...{ extentBytes: 2048, dataBytes: 65_536 },
});

const member = (a: CopyFacts, b: CopyFacts, resource = 'disk1'): MemberCopies => ({
  resource,
  copies: [a, b],
});

const NOW = { roleUnsure: false, maintenance: [] };

/** Both nodes ask, each with its own copy first. */
function judge(policy: AfterSplit, ...members: MemberCopies[]) {
  const verdict = judgeAfterSplit(policy, members, NOW);
  const mirrored = members.map(({ resource, copies: [one, other] }) => ({
    resource,
    copies: [other, one] as const,
  }));
  expect(judgeAfterSplit(policy, mirrored, NOW)).toEqual(verdict);
  return verdict;
}

const POLICIES = ['disconnect', 'discard-zero-changes', 'discard-least-changes'] as const;
const ROLES = ['init', 'secondary', 'primary'] as const;
const COUNTS = [0, 1, 2];

const ALL = POLICIES.flatMap((policy) =>
  ROLES.flatMap((roleA) =>
    ROLES.flatMap((roleB) => COUNTS.flatMap((a) => COUNTS.map((b) => ({ policy, roleA, roleB, a, b })))),
  ),
);

describe('after a split-brain', () => {
  test.each(ALL)('$policy with $a extents on $roleA and $b on $roleB', ({ policy, roleA, roleB, a, b }) => {
    const verdict = judge(policy, member(copy('a', a, roleA), copy('b', b, roleB)));
    const primaries = { a: roleA === 'primary', b: roleB === 'primary' };
    const loser = ((): 'a' | 'b' | null => {
      if (policy === 'disconnect') return null;
      if (a === 0 && b === 0) return primaries.b ? 'a' : 'b';
      if (policy === 'discard-zero-changes') return a === 0 ? 'a' : b === 0 ? 'b' : null;
      return a === b ? null : a < b ? 'a' : 'b';
    })();
    if (loser === null || primaries[loser]) expect(verdict.answer).toBe('disconnect');
    else
      expect(verdict).toMatchObject({
        answer: 'discard',
        discard: loser,
        keep: loser === 'a' ? 'b' : 'a',
        resources: ['disk1'],
      });
  });

  test.each<[string, Partial<CopyFacts>, RegExp]>([
    ['whose disk is not open', { record: null }, /./],
    ['that cannot be used', { error: 'it fails' }, /it fails/],
    ['of which nothing is known', { extentBytes: 0, dirtyExtents: 0 }, /not open/],
    [
      'that was half resynced',
      { record: { ...record('b', '2', '9'), state: 'inconsistent' } },
      /inconsistent/,
    ],
    ['that is outdated', { record: { ...record('b', '2', '9'), state: 'outdated' } }, /outdated/],
    ['of another size', { dataBytes: 131_072 }, /other sizes/],
  ])('nothing is given up beside a copy %s', (_, changes, why) => {
    // A second member is split for certain, so that there is something to decide.
    const sure = member(copy('a', 2), copy('b', 0), 'disk2');
    for (const policy of ['discard-zero-changes', 'discard-least-changes'] as const) {
      expect(judge(policy, sure).answer).toBe('discard');
      const verdict = judge(policy, sure, member(copy('a', 2), { ...copy('b', 0), ...changes }));
      expect(verdict).toMatchObject({ answer: 'disconnect', why: expect.stringMatching(why) as string });
    }
  });

  it('nothing is done where nothing is split', () => {
    const same = record('a', '1', '9');
    const pair = member({ ...copy('a', 0), record: same }, { ...copy('b', 2), record: same });
    for (const policy of POLICIES) expect(judge(policy, pair)).toEqual({ answer: 'none' });
  });

  it('nothing is done while a role changes, nor while an operator holds the group still on either node', () => {
    const members = [member(copy('a', 2), copy('b', 0))];
    const policy = 'discard-zero-changes';
    expect(judgeAfterSplit(policy, members, { ...NOW, roleUnsure: true })).toEqual({ answer: 'none' });
    for (const node of ['a', 'b'])
      expect(judgeAfterSplit(policy, members, { ...NOW, maintenance: [node] })).toEqual({
        answer: 'disconnect',
        why: `it is in maintenance on ${node}`,
      });
  });

  it('a group is given up as a whole, by what was written to all of it', () => {
    const verdict = judge(
      'discard-least-changes',
      member(copy('a', 1), copy('b', 2), 'disk1'),
      member(copy('a', 5), copy('b', 2), 'disk2'),
    );
    expect(verdict).toMatchObject({ answer: 'discard', discard: 'b', resources: ['disk1', 'disk2'] });
    expect(
      judge(
        'discard-zero-changes',
        member(copy('a', 0), copy('b', 2), 'disk1'),
        member(copy('a', 5), copy('b', 0), 'disk2'),
      ).answer,
    ).toBe('disconnect');
  });

  it('a member that went on only on one node is not torn from the others', () => {
    const old = { ...record('a', '9', '8'), epoch: { number: 2, id: id('9') } };
    const ahead = (node: 'a' | 'b'): MemberCopies => {
      const other = node === 'a' ? 'b' : 'a';
      const [one, two] = [copy(node, 0), { ...copy(other, 0), record: old }];
      return node === 'a' ? member(one, two, 'disk2') : member(two, one, 'disk2');
    };
    const split = member(copy('a', 2), copy('b', 0));
    expect(judge('discard-zero-changes', split, ahead('b'))).toMatchObject({
      answer: 'disconnect',
      why: expect.stringContaining('only on b') as string,
    });
    expect(judge('discard-zero-changes', split, ahead('a'))).toMatchObject({
      discard: 'b',
      resources: ['disk1'],
    });
  });
});
