import { afterEach, beforeEach, expect, it } from 'vitest';

import type { ReloadResult } from '../../../src/protocol/control.ts';
import { Scene } from './support.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

const NOTHING: ReloadResult = { accepted: true, applied: [], needsRestart: [], problems: [] };

it.each<[what: string, result: Partial<ReloadResult>, code: number, out: string, err: string]>([
  ['nothing new', {}, 0, 'nothing changed\n', ''],
  [
    'something new',
    { applied: ['log', 'resource disk1: timeout'], needsRestart: ['timing'] },
    0,
    'in force: log\nin force: resource disk1: timeout\nneeds a restart: timing\n',
    '',
  ],
  [
    'a file that is wrong',
    { accepted: false, problems: ['hast.conf:1:1: wrong; mend it'] },
    78,
    'refused: the settings from before stay in force\n',
    'hast.conf:1:1: wrong; mend it',
  ],
  [
    'what went wrong',
    { applied: ['listen'], problems: ['listen: in use'] },
    70,
    'in force: listen\n',
    'listen: in use',
  ],
])('tells %s', async (_what, result, code, out, err) => {
  await scene.serve((request) => {
    expect(request.command).toBe('reload');
    return Promise.resolve({ ...NOTHING, ...result });
  });
  const ran = await scene.run('reload');
  expect([ran.code, ran.out]).toEqual([code, out]);
  expect(ran.err).toContain(err);
  const { out: json } = await scene.run('--json', 'reload');
  expect(JSON.parse(json)).toEqual({ ...NOTHING, ...result });
});
