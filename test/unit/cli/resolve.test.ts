import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HastateError } from '../../../src/model/errors.ts';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import type { CopyFacts } from '../../../src/model/resolve.ts';
import type { ControlRequest, ResolveResult } from '../../../src/protocol/control.ts';
import { Scene } from './support.ts';

let scene: Scene;
let asked: ControlRequest[];
beforeEach(async () => {
  asked = [];
  scene = await Scene.open();
});
afterEach(() => scene.close());

const answer = (result: unknown): Promise<void> =>
  scene.serve((request) => {
    asked.push(request);
    return Promise.resolve(result);
  });

const copy = (node: string, digit: string, epoch: number): CopyFacts => ({
  ...{ node, role: 'primary', group: 'storage', error: null },
  record: {
    ...VIRGIN_RECORD,
    ...{ state: 'clean', primary: node, inSync: [node] },
    epoch: { number: epoch, id: digit.repeat(16) },
    generations: { current: digit.repeat(16), previous: '9'.repeat(16) },
  },
  ...{ dirtyExtents: 3, dirtyBytes: 6_291_456, extentBytes: 2_097_152, dataBytes: 67_104_256 },
});

const result = (changes: Partial<ResolveResult> = {}): ResolveResult => ({
  resource: 'test',
  keep: copy('a', '1', 4),
  discard: copy('b', '2', 5),
  dryRun: true,
  verdict: {
    answer: 'discard',
    reasons: [{ rule: 'D5', code: 'split-brain', text: 'both copies went on' }],
    next: null,
  },
  divergence: {
    ...{ keepOnly: { extents: 1, bytes: 2_097_152 }, discardOnly: { extents: 2, bytes: 4_194_304 } },
    both: { extents: 0, bytes: 0 },
  },
  plan: ['b: give up', 'a: copy'],
  notKnown: ['which extents both wrote'],
  done: false,
  notes: [],
  ...changes,
});

describe('resolve', () => {
  it('shows before anything is discarded how the copies differ and what would be done', async () => {
    await answer(result());
    const { code, out } = await scene.run('resolve', 'test', '--discard', 'b', '--dry-run');
    expect(out).toBe(
      [
        'test: split-brain; a is kept, b is discarded',
        '                 a                                  b',
        '  role           primary                            primary',
        '  state          clean                              clean',
        '  epoch          4 (1111111111111111)               5 (2222222222222222)',
        '  last primary   a                                  b',
        '  generation     1111111111111111                   2222222222222222',
        '    before       9999999999999999                   9999999999999999',
        '  wrote at most  3 extents of 2.0MB, 6291456 bytes  3 extents of 2.0MB, 6291456 bytes',
        '  size           67104256 bytes                     67104256 bytes',
        'may differ:',
        '  written only on a  1 extents, 2097152 bytes',
        '  written only on b  2 extents, 4194304 bytes',
        '  written on both    0 extents, 0 bytes',
        '  D5  split-brain  both copies went on',
        'not known:',
        '  which extents both wrote',
        'to do:',
        '  1. b: give up',
        '  2. a: copy',
        'nothing was changed',
        '',
      ].join('\n'),
    );
    expect(code).toBe(0);
    const args = { resource: 'test', discard: 'b', demote: false, dryRun: true };
    expect(asked).toMatchObject([{ command: 'resolve', args }]);
  });

  it('says what was done, and what did not go as planned', async () => {
    await answer(result({ dryRun: false, done: true, notes: ['a could not be told'] }));
    const { code, out } = await scene.run('resolve', 'test', '--discard', 'b', '--demote');
    expect(out).toContain('done:\n  1. b: give up\n  2. a: copy\nwarning: a could not be told\n');
    expect(out).not.toContain('nothing was changed');
    expect(code).toBe(0);
    expect(asked).toMatchObject([{ args: { demote: true, dryRun: false } }]);
  });

  it('fails when nothing may be discarded, and says why and what to do', async () => {
    const reasons = [{ rule: 'D5', code: 'no-split-brain', text: 'there is none' }];
    const verdict = { answer: 'refuse', reasons, next: 'hastate status' } as const;
    await answer(result({ verdict, dryRun: false, plan: [], notKnown: [] }));
    const { code, out } = await scene.run('resolve', 'test', '--discard', 'b');
    expect(out).toMatch(/^test: the copy on b is not discarded\n/);
    expect(out).toMatch(/no-split-brain {2}there is none\nnext: hastate status\nnothing was changed\n$/);
    expect(code).toBe(70);
  });

  it('prints everything for programs', async () => {
    await answer(result());
    const { out } = await scene.run('--json', 'resolve', 'test', '--discard', 'b', '--dry-run');
    expect(JSON.parse(out)).toEqual(result());
  });

  it('shows a copy that cannot be read', async () => {
    const discard = { ...copy('b', '2', 5), record: null, error: 'the disk is not open' };
    await answer(result({ discard }));
    const { out } = await scene.run('resolve', 'test', '--discard', 'b', '--dry-run');
    expect(out).toMatch(/^ {2}epoch +4 \(1{16}\) +-$/m);
  });

  it.each([
    ['of the daemon', ['--discard', 'b'], 'hastate: b cannot be asked\n'],
    ['of a missing node', [], "error: required option '--discard <node>' not specified\n"],
  ])('tells the error %s', async (_, options, said) => {
    await scene.serve(() => Promise.reject(new HastateError('peer-unreachable', 'b cannot be asked')));
    const { code, err } = await scene.run('resolve', 'test', ...options);
    expect(err).toContain(said);
    expect(code).not.toBe(0);
  });
});
