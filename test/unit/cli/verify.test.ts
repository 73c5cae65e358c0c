import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ControlRequest, VerifyProgress } from '../../../src/protocol/control.ts';
import { Scene } from './support.ts';

let scene: Scene;
let asked: ControlRequest[];
beforeEach(async () => {
  asked = [];
  scene = await Scene.open();
});
afterEach(() => scene.close());

const progress = (changes: Partial<VerifyProgress> = {}): VerifyProgress => ({
  ...{ state: 'running', why: null, repair: false, totalBytes: 4096, doneBytes: 1024 },
  ...{ differences: 0, differingBytes: 0, repairedBytes: 0, unreadBytes: 0, ranges: [] },
  ...{ startedMsAgo: 1, tookMs: null, bytesPerSecond: 512, remainingMs: 6000 },
  ...changes,
});

const serve = (...answers: Partial<VerifyProgress>[]): Promise<void> =>
  scene.serve((request) => {
    asked.push(request);
    const changes = answers.length > 1 ? answers.shift() : answers[0];
    return Promise.resolve({ resource: 'test', node: 'a', verify: progress(changes) });
  });

describe('verify', () => {
  it('starts with the rate and the word that it is given, and does not wait', async () => {
    await serve({});
    const ran = await scene.run('verify', 'test', '--rate', '50MB/s', '--repair');
    expect(ran).toEqual({
      code: 0,
      out: 'test on a: verifying: 25 % of 4.0KB, 512B/s, 6 s to go; no difference\n',
      err: '',
    });
    expect(asked).toMatchObject([
      { command: 'verify', args: { resource: 'test', action: 'start', rate: 50_000_000, repair: true } },
    ]);
  });

  it('with --wait asks until it ends, prints what differs and fails', async () => {
    const ranges = [{ offset: 512, length: 1024, repaired: false }];
    await serve({}, {}, { state: 'done', tookMs: 2000, differences: 3, differingBytes: 4096, ranges });
    const { code, out } = await scene.run('verify', 'test', '--wait');
    expect(out).toBe(
      'test on a: verified in 2 s; 3 differences of 4096 bytes, not repaired\n  1024 bytes at 512\n  and 2 more\n',
    );
    expect(code).toBe(70);
    expect(asked.map(({ args }) => args['action'])).toEqual(['start', 'look', 'look']);
    expect(asked[0]?.args).toMatchObject({ rate: null, repair: false });
  });

  it.each<[string, number, Partial<VerifyProgress>]>([
    ['all that differed is repaired', 0, { differences: 1, differingBytes: 512, repairedBytes: 512 }],
    ['nothing differs', 0, {}],
    ['something could not be read', 70, { unreadBytes: 512 }],
    ['the link went down', 70, { state: 'interrupted', why: 'closed' }],
  ])('with --wait tells by its exit code that %s', async (_, code, changes) => {
    await serve({ state: 'done', tookMs: 1, remainingMs: null, ...changes });
    expect((await scene.run('verify', 'test', '--wait')).code).toBe(code);
  });

  it('ends one with --stop, and refuses a rate without a unit', async () => {
    await serve({ state: 'stopped', why: 'an operator ended it' });
    expect((await scene.run('verify', 'test', '--stop')).out).toContain(
      'ended at 25 % (an operator ended it)',
    );
    expect(asked.map(({ args }) => args['action'])).toEqual(['stop']);
    for (const rate of ['50', '1B/s', 'fast'])
      expect((await scene.run('verify', 'test', '--rate', rate)).code).not.toBe(0);
    expect(asked.length).toBe(1);
  });
});
