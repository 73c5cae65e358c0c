import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HastateError } from '../../../src/model/errors.ts';
import type { Evidence } from '../../../src/model/evidence.ts';
import { NO_EPOCH } from '../../../src/model/record.ts';
import { DEFAULT_TIMING } from '../../../src/model/timing.ts';
import type {
  ControlRequest,
  GroupStatus,
  JournalEvent,
  SwitchoverResult,
} from '../../../src/protocol/control.ts';
import { addressStatus } from '../../support/address-status.ts';
import { Scene } from './support.ts';

let scene: Scene;
const asked: ControlRequest[] = [];
beforeEach(async () => {
  asked.length = 0;
  scene = await Scene.open();
});
afterEach(() => scene.close());

const answer = (result: unknown): Promise<void> =>
  scene.serve((request) => {
    asked.push(request);
    return Promise.resolve(result);
  });

const group = (changes: Partial<GroupStatus>): GroupStatus => ({
  name: 'storage',
  policy: 'available',
  state: 'primary',
  role: 'primary',
  resources: ['test'],
  address: addressStatus({ state: 'MASTER', addresses: ['10.0.0.9/24'], up: true }),
  badge: 'failover now: safe',
  lastTransition: null,
  ...changes,
});

describe('groups', () => {
  it('prints a table', async () => {
    await answer([
      group({}),
      group({ name: 'g2', state: 'stuck', role: 'stuck', address: null, badge: 'blocked' }),
    ]);
    expect((await scene.run('groups')).out).toBe(
      [
        'Group    Role     State    Address                    Now',
        'storage  primary  primary  10.0.0.9/24 vhid 1 MASTER  failover now: safe',
        'g2       stuck    stuck    -                          blocked',
        '',
      ].join('\n'),
    );
  });

  it('says what keeps an address from being elected, and lets go of a hold', async () => {
    await answer([
      group({
        address: addressStatus({
          protocol: 'vrrp3',
          addresses: ['10.0.0.9/24'],
          says: { protocol: 'vrrp', priority: 70, intervalMs: 1000 },
          faults: ['ping 10.0.0.1'],
          demotion: { 'track:file /f': 30, 'track:tcp a:1': -5 },
          hold: 'flapping: 7 elections in 60 s',
        }),
      }),
    ]);
    const { out } = await scene.run('groups', '--clear-hold', 'storage');
    expect(out).toContain(
      '10.0.0.9/24 vrid 1 BACKUP (down), without ping 10.0.0.1, held: flapping: 7 elections in 60 s, priority 70 by track:file /f',
    );
    expect(asked).toMatchObject([{ command: 'groups', args: { clearHold: 'storage' } }]);
  });

  it('says that there are none', async () => {
    await answer([]);
    expect((await scene.run('groups')).out).toContain('no groups');
  });
});

const evidence: Evidence = {
  now: 10_000,
  self: 'a',
  peer: 'b',
  peerKind: 'hastate',
  trigger: { kind: 'automatic' },
  members: [
    {
      resource: 'test',
      diskError: null,
      state: 'clean',
      epoch: { number: 3, id: '00000000000000aa' },
      soleOwner: false,
      freshness: { kind: 'behind', extents: 7 },
      dataLinkDownAt: 9880,
      dataLinkUp: false,
      peerAgrees: true,
      wentApart: false,
    },
  ],
  heardAt: { dataLink: 9880, peerChannel: 8800, adverts: null },
  startedAt: 0,
  awakeSince: 0,
  certainDeathAt: null,
  report: {
    ...{ at: 8800, primary: true, changing: false, healthy: true, epoch: NO_EPOCH },
    ...{ virgin: false, candidate: false, consentUntil: null },
  },
  references: { configured: 2, reached: 1 },
  obstacles: ['/mnt is mounted'],
  released: false,
  fencedAt: null,
  hold: null,
  bootWaitMs: 0,
  policy: 'available',
  timing: DEFAULT_TIMING,
};

describe('why-not', () => {
  it('prints verdict, rules, the age of every piece of evidence and the next command', async () => {
    const verdict = {
      answer: 'refuse',
      reasons: [{ rule: 'B5', code: 'peer-is-primary', text: 'b is primary and healthy' }],
      retryInMs: null,
      next: 'hastate switchover storage',
    };
    await answer({ group: 'storage', verdict, evidence });
    const { out, code } = await scene.run('why-not', 'storage');
    expect(code).toBe(0);
    expect(asked[0]?.args).toEqual({ group: 'storage' });
    expect(out).toBe(
      [
        'storage on a: may not become primary',
        '  B5  peer-is-primary  b is primary and healthy',
        'evidence:',
        '  policy                available',
        '  started               10.0 s ago',
        '  heard on dataLink     120 ms ago',
        '  heard on peerChannel  1.2 s ago',
        '  heard on adverts      never',
        '  report of b           primary, healthy, epoch 0, 1.2 s ago',
        '  references            1 of 2 reached',
        '  test                  behind by 7 extents, epoch 3, data link down since 120 ms ago',
        '  in the way            /mnt is mounted',
        'next: hastate switchover storage',
        '',
      ].join('\n'),
    );
  });
});

describe('switchover', () => {
  const result: SwitchoverResult = {
    group: 'storage',
    from: 'a',
    to: 'b',
    dryRun: true,
    verdict: { answer: 'promote', reasons: [], retryInMs: null, next: null },
    plan: ['a: stop', 'b: start'],
    tookMs: null,
  };

  it('prints the plan of a dry run, and asks for the node that --to names', async () => {
    await answer(result);
    const { out, code } = await scene.run('switchover', 'storage', '--to', 'b', '--dry-run');
    expect(asked[0]?.args).toEqual({ group: 'storage', to: 'b', dryRun: true, waitMs: 10_000 });
    expect({ out, code }).toEqual({
      code: 0,
      out: 'storage: a -> b\n  1. a: stop\n  2. b: start\nnothing was changed\n',
    });
  });

  it('fails with the reasons when the group stays', async () => {
    const reasons = [{ rule: 'B2', code: 'x', text: 'b is behind' }];
    await answer({
      ...result,
      verdict: { ...result.verdict, answer: 'refuse', reasons, next: 'hastate status' },
    });
    const { out, code } = await scene.run('switchover', 'storage', '--dry-run');
    expect({ out, code }).toEqual({
      code: 70,
      out: 'storage stays on a:\n  B2  b is behind\nnext: hastate status\n',
    });
  });

  it('exits 1 for a group that the daemon does not know', async () => {
    await scene.serve(() => Promise.reject(new HastateError('unknown-group', "there is no group 'x'")));
    await expect(scene.run('switchover', 'x')).resolves.toEqual({
      code: 1,
      out: '',
      err: "hastate: there is no group 'x'\n",
    });
  });
});

describe('promote, role and stop', () => {
  it('hand over what the operator said', async () => {
    await answer({ group: 'g', state: 'primary' });
    expect((await scene.run('promote', 'g', '--force', '--reason', 'b burnt down')).out).toBe('g: primary\n');
    expect(asked[0]).toMatchObject({
      command: 'promote',
      args: { group: 'g', force: true, reason: 'b burnt down' },
    });
  });

  it('wait until the daemon that was stopped is gone', async () => {
    let stopped = false;
    await scene.serve(() => {
      setImmediate(() => void scene.end().then(() => (stopped = true)));
      return Promise.resolve({ stopping: true });
    });
    await expect(scene.run('stop')).resolves.toEqual({ code: 0, out: '', err: '' });
    expect(stopped).toBe(true);
  });

  it('print nothing when every resource took its role, else what is wrong with which', async () => {
    await answer([
      { resource: 'test', previous: 'init', error: null, code: null, number: 0 },
      { resource: 'nosuch', previous: null, error: 'there is none', code: 'unknown-resource', number: 1 },
      { resource: 'other', previous: 'init', error: 'the disk is gone', code: 'role-failed', number: 6 },
    ]);
    const ran = await scene.run('role', 'primary', 'test', 'nosuch', 'other');
    expect(asked[0]?.args).toEqual({ role: 'primary', resources: ['test', 'nosuch', 'other'] });
    expect(ran).toEqual({
      code: 1,
      out: '',
      err:
        '[WARNING] [nosuch] Received error 1 from hastd.\n' +
        '[WARNING] [other] Received error 6 from hastd.\n[WARNING] [other] the disk is gone\n',
    });
  });
});

describe('events', () => {
  const event: JournalEvent = {
    ...{ seq: 1, time: '2026-01-01T00:00:00.000Z', at: 1, node: 'a', kind: 'hook.exited' },
    ...{ level: 'warn', message: 'it said:\nno\r\n' },
  };

  it('prints one line each, as text or JSON', async () => {
    await scene.serve((_request, { push }) => {
      push(event);
      return Promise.resolve();
    });
    expect((await scene.run('events')).out).toBe(
      '2026-01-01T00:00:00.000Z a warn hook.exited: it said: no \n',
    );
    expect(JSON.parse((await scene.run('events', '--json')).out)).toEqual(event);
  });

  it('follows until it is interrupted', async () => {
    const abort = new AbortController();
    await scene.serve((request, { push, signal }) => {
      expect(request.args).toEqual({ follow: true });
      push(event);
      abort.abort();
      return new Promise((resolve) => signal.addEventListener('abort', resolve));
    });
    await expect(
      scene.runOn({ terminal: false, signal: abort.signal }, 'events', '--follow'),
    ).resolves.toMatchObject({ code: 0 });
  });
});

describe('check', () => {
  it('prints what is wrong and exits 78, 72 or 0', async () => {
    const yaml = scene.path('hastate.yaml');
    await scene.write('hastate.yaml', 'lgo: {}');
    const wrong = await scene.run('-C', yaml, 'check');
    expect(wrong).toMatchObject({ code: 78, out: '' });
    expect(wrong.err).toContain(`${yaml}:1:1: unknown key 'lgo'; did you mean 'log'?`);
    await expect(scene.run('-C', scene.path('none'), 'check')).resolves.toMatchObject({ code: 72 });
    await scene.write('hastate.yaml', 'insecure: true\ngroups: { g: { resources: [test] } }');
    const right = await scene.run('-C', yaml, 'check');
    expect(right).toMatchObject({ code: 0, out: 'ok: node a, 2 resources, 1 group\n' });
    const json: unknown = JSON.parse((await scene.run('-C', yaml, '--json', 'check')).out);
    expect(json).toMatchObject({ outcome: 'ok' });
  });
});
