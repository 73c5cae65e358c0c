import { expect, it } from 'vitest';

import type { HastSettings, ResourceSettings } from '../../../src/model/settings.ts';
import { notYet } from '../../../src/daemon/not-yet.ts';

const RESOURCE: ResourceSettings = {
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
};
const HAST: HastSettings = {
  node: 'hasta',
  control: '/run/hastctl',
  pidfile: '/run/hastd.pid',
  listen: ['tcp4://0.0.0.0:8457'],
  resources: [RESOURCE],
};

it('says nothing about a configuration that is done as written', () => {
  expect(notYet(HAST)).toEqual([]);
});

it('says at start that metaflush off is not followed', () => {
  expect(notYet({ ...HAST, resources: [{ ...RESOURCE, metaflush: false }] })).toEqual([
    "resource disk1: 'metaflush off' is not followed: the activemap is flushed before every write that needs it",
  ]);
});
