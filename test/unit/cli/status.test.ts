import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NetError } from '../../../src/model/errors.ts';
import { NO_ID } from '../../../src/model/record.ts';
import type { ResourceRecord } from '../../../src/model/record.ts';
import type { NodeStatus, ResourceStatus } from '../../../src/protocol/control.ts';
import { nodeStatus, resourceStatus, Scene } from './support.ts';

const vector = (name: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../vectors/hast/hastctl/${name}`, import.meta.url)), 'utf8');

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

const serve = (status: NodeStatus): Promise<void> => scene.serve(() => Promise.resolve(status));

const ofB = {
  localpath: '/var/hast/node/disks/b.img',
  remoteaddr: 'tcp4://127.0.0.11:8457',
  sourceaddr: 'tcp4://127.0.0.12',
  role: 'secondary',
} as const;
const counters = (
  ...[reads, writes, deletes, flushes, activemapUpdates]: [number, number, number, number, number]
) => ({
  ...resourceStatus().counters,
  ...{ reads, writes, deletes, flushes, activemapUpdates },
});

describe('status', () => {
  it.each<[file: string, args: string[], changes: Partial<ResourceStatus>]>([
    ['status_init', ['test'], {}],
    ['status_primary_complete', [], { role: 'primary', status: 'complete' }],
    ['status_primary_degraded', ['all'], { role: 'primary', status: 'degraded' }],
    ['status_secondary_complete', [], { ...ofB, status: 'complete' }],
    ['status_secondary_unconnected', ['test'], ofB],
    ['status_unknown', ['nosuch', 'test'], { role: 'primary', status: 'complete' }],
  ])('prints %s as hastctl does', async (file, args, changes) => {
    await serve(nodeStatus([resourceStatus(changes)]));
    const ran = await scene.run('status', ...args);
    expect(ran).toEqual({
      code: file === 'status_unknown' ? 1 : 0,
      out: await vector(`${file}.txt`),
      err: '',
    });
  });

  it('prints nothing without resources', async () => {
    await serve(nodeStatus([]));
    await expect(scene.run('status')).resolves.toEqual({ code: 0, out: '', err: '' });
  });

  it('shows a person the groups and how far a resync is', async () => {
    const sync = {
      direction: 'toPeer',
      totalBytes: 4096,
      doneBytes: 1024,
      startedMsAgo: 2000,
      bytesPerSecond: 512,
      remainingMs: 6000,
    } as const;
    const groups = [
      { name: 'storage', policy: 'available', state: 'primary.serving', role: 'primary' } as const,
    ].map((one) => ({
      ...one,
      resources: ['test'],
      address: null,
      badge: 'failover now: safe',
      lastTransition: null,
    }));
    await serve(nodeStatus([resourceStatus({ status: 'complete', role: 'primary', sync })], { groups }));
    const { out, err } = await scene.runOn({ terminal: true, color: false }, 'status');
    expect(out).toContain('test\tcomplete primary ');
    expect(out).toContain('storage  primary  primary.serving  -        failover now: safe\n');
    expect(err).toBe('test: synchronizing to the peer: 25 % of 4.0KB, 512B/s, 6 s to go\n');
    expect((await scene.run('status')).out).not.toContain('storage');
  });

  it('colours nothing when NO_COLOR is set, and nothing that is no terminal', async () => {
    await serve(nodeStatus([resourceStatus({ role: 'primary', status: 'complete' })]));
    for (const command of ['status', 'list']) {
      for (const io of [
        { terminal: true, color: false },
        { terminal: false, color: true },
      ])
        expect((await scene.runOn(io, command)).out).not.toContain('\u001b');
      expect((await scene.runOn({ terminal: true }, command)).out).toContain('\u001b');
    }
  });

  it('colours states and adds remarks only for a terminal', async () => {
    const held = resourceStatus({ status: 'degraded', held: 'frozen by a higher epoch' });
    await serve(nodeStatus([held], { warnings: ['no raw sockets'] }));
    const { out, err } = await scene.runOn({ terminal: true }, 'status');
    expect(out).toContain('\u001b[33mdegraded ');
    expect(err).toBe('test: frozen by a higher epoch\na: no raw sockets\n');
  });

  it('prints the whole answer with --json, wherever that stands', async () => {
    const status = nodeStatus([resourceStatus()]);
    await serve(status);
    for (const args of [
      ['--json', 'status'],
      ['status', '--json'],
    ]) {
      expect(JSON.parse((await scene.run(...args)).out)).toEqual(status);
    }
    const unknown = await scene.run('status', '--json', 'nosuch');
    expect(unknown.code).toBe(1);
    expect(JSON.parse(unknown.out)).toMatchObject({
      resources: [{ name: 'nosuch', error: 'there is no such resource' }],
    });
  });
});

describe('list', () => {
  it.each<[file: string, pid: number, changes: Partial<ResourceStatus>]>([
    ['list_init', 1, {}],
    [
      'list_primary_complete',
      14654,
      { role: 'primary', status: 'complete', counters: counters(1, 1, 1, 1, 1) },
    ],
    [
      'list_primary_degraded',
      14654,
      { role: 'primary', status: 'degraded', dirtyBytes: 2_097_152, counters: counters(1, 2, 1, 2, 2) },
    ],
    [
      'list_secondary_complete',
      14659,
      { ...ofB, status: 'complete', keepdirty: 0, counters: counters(0, 1, 1, 1, 0) },
    ],
    ['list_secondary_unconnected', 1, ofB],
  ])('prints %s as hastctl does', async (file, pid, changes) => {
    await serve(nodeStatus([resourceStatus(changes)], { pid }));
    const expected = await vector(`${file}.txt`);
    await expect(scene.run('list')).resolves.toEqual({ code: 0, out: expected, err: '' });
  });

  it('tells the generations, the state and who is in sync, but not by the name hastctl', async () => {
    const record: ResourceRecord = {
      ...{ epoch: { number: 4, id: 'e'.repeat(16) }, primary: 'b', inSync: ['a', 'b'] },
      state: 'outdated',
      ...{ generations: { current: 'c'.repeat(16), previous: NO_ID }, released: false },
    };
    await serve(nodeStatus([resourceStatus({ record }), resourceStatus({ name: 'second' })]));
    const { out } = await scene.run('list');
    expect(out).toContain(
      [
        '  state: outdated',
        `  epoch: 4 (${'e'.repeat(16)})`,
        '  last primary: b',
        `  generation: ${'c'.repeat(16)}`,
        '  generation before: none',
        '  in sync: a, b',
        'second:',
      ].join('\n'),
    );
    expect(JSON.parse((await scene.run('list', '--json')).out)).toMatchObject([{ record }, {}]);
    expect((await scene.runOn({ program: 'hastctl' }, 'list')).out).not.toContain('generation');
  });

  it('prints error 1 for a name that the daemon does not know', async () => {
    await serve(nodeStatus([]));
    await expect(scene.run('list', 'nosuch')).resolves.toEqual({
      code: 1,
      out: await vector('list_unknown.txt'),
      err: '',
    });
  });

  it('tells the export of a primary with --json', async () => {
    await serve(nodeStatus([resourceStatus({ export: { socket: '/s', name: 'test' } })]));
    expect(JSON.parse((await scene.run('list', '--json', 'test')).out)).toMatchObject([
      { export: { socket: '/s' } },
    ]);
  });
});

describe('exit codes', () => {
  it.each<[what: string, args: string[], code: number, err: string]>([
    ['no daemon', ['status'], 71, '[ERROR] Unable to connect to hastd via '],
    ['no daemon for a command that hastctl has not', ['groups'], 71, 'hastate: there is no control socket'],
    ['a missing hast.conf', ['-c', '/nonexistent', 'status'], 72, '/nonexistent:1:1: cannot open the file'],
    [
      'an unknown node',
      ['-n', 'z', 'status'],
      78,
      "hast.conf:2:10: resource test has no 'on' section for this node",
    ],
    ['an unknown command', ['statsu'], 64, "error: unknown command 'statsu'"],
    ['an unknown option', ['status', '--no-such'], 64, 'usage: hastate create'],
    ['-h', ['-h'], 64, 'usage: hastate create'],
    ['-h of a command', ['role', '-h'], 64, 'usage: hastate create'],

    ['a bad role', ['role', 'foo', 'test'], 64, 'usage: hastate create'],
    ['a missing name', ['role', 'primary'], 64, 'usage: hastate create'],
    ['force without a reason', ['promote', 'g', '--force'], 64, 'needs --reason TEXT'],
    ['a bad size', ['create', '-e', '2X', 'test'], 64, "Invalid extentsize: '2X' is no size"],
  ])('tell %s', async (_what, args, code, err) => {
    const ran = await scene.run(...args);
    expect(ran.code).toBe(code);
    expect(ran.err).toContain(err);
    expect(ran.err).not.toMatch(/^\s+at /m);
    expect(ran.out).toBe('');
  });

  it('tell an error of the daemon, in one line without a stack', async () => {
    await scene.serve(() => Promise.reject(new NetError('anything', 'the disk is gone; attach it')));
    await expect(scene.run('groups')).resolves.toEqual({
      code: 70,
      out: '',
      err: 'hastate: the disk is gone; attach it\n',
    });
  });

  it.each([
    [['role', 'foo', 'test'], "'foo' is invalid"],
    [['role', 'primary'], 'missing required argument'],
    [['status', '--no-such'], 'unknown option'],
    [['status'], 'is hastated running'],
    [['create', 'nosuch'], 'hast.conf has test, other'],
  ])('come with what is wrong and what to do for a person who runs %j', async (args, text) => {
    expect((await scene.run(...args)).err).not.toContain(text);
    const { err } = await scene.runOn({ terminal: true }, ...args);
    expect(err).toContain(text);
  });

  it('are 0 for help', async () => {
    const { code, out } = await scene.run('--help');
    expect(code).toBe(0);
    for (const command of ['status', 'switchover', 'why-not', 'check', 'demo'])
      expect(out).toContain(`  ${command} `);
  });
});
