import { describe, expect, it } from 'vitest';

import { ConfigFileError } from '../../../src/config/diagnostics.ts';
import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import type { GroupMonitor } from '../../../src/model/settings.ts';

const HAST = `resource disk1 {
  on a { local /dev/a remote 10.0.0.2 }
  on b { local /dev/b remote 10.0.0.1 }
}`;

/** Of a group with two hooks, whose `monitor` is on line 5. */
function parsed(monitor: string): GroupMonitor | undefined {
  const identity = { hostname: 'a', hostuuid: null, hostid: null };
  const hast = resolveHastConf(parseHastConf(HAST, 'hast.conf'), { node: 'a', identity });
  const text = `insecure: true
nodes: { a: { peer: 10.0.0.1 }, b: { peer: 10.0.0.2 } }
groups:
  g: { resources: [disk1], hooks: { 20-ext4: {}, 50-nginx: {} },
    ${monitor} }
`;
  return parseHastate(text, 'hastate.yaml', hast).groups[0]?.monitor;
}

function fault(monitor: string): string {
  try {
    parsed(monitor);
  } catch (error) {
    if (error instanceof ConfigFileError) return error.message;
    throw error;
  }
  return 'nothing is wrong';
}

const USUAL = {
  intervalMs: 10_000,
  timeoutMs: 20_000,
  rise: 1,
  fall: 2,
  restarts: 2,
  withinMs: 600_000,
};

describe('monitor in hastate.yaml', () => {
  it.each(['', 'monitor: off', 'monitor: false'])('watches nothing when the group says %j', (text) => {
    expect(parsed(text)).toEqual({ usual: null, hooks: {} });
  });

  it('has defaults for everything', () => {
    expect(parsed('monitor: {}')).toEqual({ usual: USUAL, hooks: {} });
  });

  it('lets a hook differ from its group, and another one out', () => {
    const monitor = 'monitor: { interval: 2s, fall: 5, hooks: { 50-nginx: { fall: 1 }, 20-ext4: off } }';
    const usual = { ...USUAL, intervalMs: 2000, fall: 5 };
    expect(parsed(monitor)).toEqual({
      usual,
      hooks: { '50-nginx': { ...usual, fall: 1 }, '20-ext4': null },
    });
  });

  it.each([
    ['monitor: { interval: 10 }', "5:26: 'groups.g.monitor.interval'"],
    ['monitor: { intervall: 10s }', "did you mean 'interval'"],
    ['monitor: { fall: 0 }', 'use at least 1'],
    ['monitor: { interval: 5ms }', 'each look starts a process'],
    ['monitor: { hooks: { 50-nginy: {} } }', "did you mean '50-nginx'"],
    ['monitor: { hooks: { 50-nginx: { interval: 1ms } } }', 'each look starts a process'],
  ])('says where %s is wrong', (monitor, text) => {
    expect(fault(monitor)).toContain(text);
  });
});
