import { expect, it } from 'vitest';

import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import type { HastSettings } from '../../../src/model/settings.ts';
import { notYet } from '../../../src/daemon/not-yet.ts';

const HAST: HastSettings = {
  node: 'hasta',
  control: '/run/hastctl',
  pidfile: '/run/hastd.pid',
  listen: ['tcp4://0.0.0.0:8457'],
  resources: [
    {
      name: 'disk1',
      provname: 'disk1',
      local: '/dev/sdb',
      remote: '10.0.0.2',
      source: null,
      replication: 'memsync',
      checksum: 'none',
      compression: 'hole',
      timeoutMs: 20_000,
      exec: null,
      metaflush: true,
      peer: 'hastb',
    },
  ],
};

function warnings(extra: string, group = ''): string[] {
  const text = `nodes: { hasta: { peer: 10.0.0.1 }, hastb: { peer: 10.0.0.2 } }\ninsecure: true\n${extra}groups:\n  storage:\n    prefer: hasta\n${group}    resources: [disk1]\n`;
  return notYet(parseHastate(text, 'hastate.yaml', HAST), HAST);
}

it.each([
  ['failback', '', '    failback: auto\n', "'failback: auto' is not there yet"],
])('says at start that %s is not done', (_what, extra, group, sentence) => {
  expect(warnings(extra, group).join('\n')).toContain(sentence);
});

it('says nothing about a configuration that is done as written', () => {
  expect(warnings('')).toEqual([]);
});

it('says at start that metaflush off is not followed', () => {
  const resources = HAST.resources.map((resource) => ({ ...resource, metaflush: false }));
  const settings = parseHastate('visualizer: off\n', 'hastate.yaml', HAST);
  expect(notYet(settings, { ...HAST, resources })).toEqual([
    "resource disk1: 'metaflush off' is not followed: the activemap is flushed before every write that needs it",
  ]);
});
