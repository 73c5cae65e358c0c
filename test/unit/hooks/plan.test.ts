import { describe, expect, it } from 'vitest';

import { DEFAULT_HEADER } from '../../../src/hooks/header.ts';
import type { DiscoveredHook, HookDirectory } from '../../../src/hooks/discover.ts';
import { HookPlanError, planFence, planHooks, planNotify } from '../../../src/hooks/plan.ts';
import type { HookContext } from '../../../src/hooks/plan.ts';
import type { GroupSettings } from '../../../src/model/settings.ts';

const hook = (name: string, header: Partial<DiscoveredHook['header']> = {}): DiscoveredHook => ({
  name,
  order: Number(name.slice(0, 2)),
  path: `/h/${name}`,
  realPath: `/real/${name}`,
  header: { ...DEFAULT_HEADER, ...header },
});

const directory = (changes: Partial<HookDirectory> = {}): HookDirectory => ({
  dir: '/h',
  hooks: [hook('10-zfs'), hook('20-ext4'), hook('50-nfs', { timeoutMs: 5 })],
  notify: [],
  fence: [],
  refused: [],
  ...changes,
});

const group = (hooks: GroupSettings['hooks'], resources = ['disk1', 'disk2']): GroupSettings => ({
  name: 'storage',
  policy: 'available',
  prefer: null,
  failback: 'never',
  failbackDelayMs: 0,
  bootWaitMs: 0,
  afterSplit: 'disconnect',
  allowLoss: false,
  peerKind: 'hastate',
  resources,
  hooks,
  monitor: { usual: null, hooks: {} },
  device: 'auto',
  address: null,
});

const context: HookContext = {
  node: 'hast1',
  peer: 'hast2',
  devices: { disk1: '/dev/loop3', disk2: '/dev/loop4', other: '/dev/loop5' },
  reason: 'the peer is silent',
  epoch: 7,
  forced: false,
  stateDir: '/var/db/hastate/hooks',
};

const names = (steps: readonly { name: string }[]) => steps.map((step) => step.name);

function thrownBy(action: () => unknown): HookPlanError {
  try {
    action();
  } catch (error) {
    if (error instanceof HookPlanError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('planHooks', () => {
  const three = group({ '50-nfs': {}, '10-zfs': {}, '20-ext4': {} });

  it.each([
    ['start', ['10-zfs', '20-ext4', '50-nfs']],
    ['stop', ['50-nfs', '20-ext4', '10-zfs']],
    ['status', ['10-zfs', '20-ext4', '50-nfs']],
  ] as const)('orders the hooks for %s whatever order they were written in', (verb, expected) => {
    expect(names(planHooks(three, directory(), verb, context))).toEqual(expected);
  });

  it('runs only what the group names', () => {
    expect(names(planHooks(group({ '20-ext4': {} }), directory(), 'start', context))).toEqual(['20-ext4']);
  });

  it('runs where the links end, with the limits of the header', () => {
    const [step] = planHooks(group({ '50-nfs': {} }), directory(), 'start', context);
    expect(step).toMatchObject({ path: '/real/50-nfs', verb: 'start', args: [], timeoutMs: 5, retries: 2 });
  });

  it('leaves out a hook that does not know the verb', () => {
    const found = directory({ hooks: [hook('10-zfs', { verbs: ['start', 'stop'] }), hook('20-ext4')] });
    const both = group({ '10-zfs': {}, '20-ext4': {} });
    expect(names(planHooks(both, found, 'status', context))).toEqual(['20-ext4']);
    expect(names(planHooks(both, found, 'rehearse', context))).toEqual([]);
  });

  it('gives exactly the documented environment', () => {
    const [step] = planHooks(group({ '20-ext4': { 'kill-holders': 'yes' } }), directory(), 'stop', context);
    expect(step?.env).toEqual({
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HASTATE_VERB: 'stop',
      HASTATE_GROUP: 'storage',
      HASTATE_NODE: 'hast1',
      HASTATE_PEER: 'hast2',
      HASTATE_RESOURCES: 'disk1 disk2',
      HASTATE_DEVICES: '/dev/loop3 /dev/loop4',
      HASTATE_DEVICE_DISK1: '/dev/loop3',
      HASTATE_DEVICE_DISK2: '/dev/loop4',
      HASTATE_REASON: 'the peer is silent',
      HASTATE_EPOCH: '7',
      HASTATE_FORCED: '0',
      HASTATE_STATE_DIR: '/var/db/hastate/hooks',
      HASTATE_PARAM_KILL_HOLDERS: 'yes',
    });
  });

  it('names every missing and refused hook with its remedy, and still plans the others', () => {
    const found = directory({
      hooks: [hook('20-ext4')],
      refused: [{ path: '/h/10-zfs', reason: '/h/10-zfs is not executable; run: chmod 755 /h/10-zfs' }],
    });
    const error = thrownBy(() => planHooks(three, found, 'stop', context));
    expect(error.code).toBe('hook-refused');
    expect(error.message).toContain('chmod 755 /h/10-zfs');
    expect(error.message).toContain('put an executable file at /h/50-nfs');
    expect(names(error.steps)).toEqual(['20-ext4']);
  });

  it('refuses resources that one environment name cannot tell apart', () => {
    const clash = group({ '20-ext4': {} }, ['disk-1', 'disk_1']);
    const devices = { 'disk-1': '/dev/loop1', disk_1: '/dev/loop2' };
    const error = thrownBy(() => planHooks(clash, directory(), 'start', { ...context, devices }));
    expect(error).toMatchObject({ code: 'hook-name-clash', steps: [] });
  });
});

describe('planNotify and planFence', () => {
  const found = directory({ notify: [hook('10-mail')], fence: [hook('10-ipmi')] });

  it('passes the arguments as hastd passes them to exec', () => {
    const [step] = planNotify(found, 'role', ['disk1', 'init', 'primary'], context);
    expect(step).toMatchObject({ group: 'notify', verb: 'role', args: ['disk1', 'init', 'primary'] });
  });

  it('tells a fence hook whom to fence', () => {
    expect(planFence(found, null, 'hast2', context)).toMatchObject([{ verb: 'fence', args: ['hast2'] }]);
  });
});
