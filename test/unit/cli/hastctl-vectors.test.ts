/**
 * Every command that was captured from the stock hastctl, run by our command line: against our own
 * control socket and against a stock hastd's. What differs by nature is masked, and listed here:
 * the directories of the captured machine, and `uds://` before the path of the control socket.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { NodeStatus, ResourceStatus, RoleResult } from '../../../src/protocol/control.ts';
import { encodeMetadataBlock, type HastMetadata } from '../../../src/protocol/hast-metadata.ts';
import {
  decodeHastctlReply,
  encodeHastctlRequest,
  type HastctlStatus,
} from '../../../src/protocol/hastctl.ts';
import { decodeNv } from '../../../src/protocol/nv.ts';
import { HastdPeer } from '../../support/hastd-peer.ts';
import { maskNamePadding } from '../protocol/hast-vectors.ts';
import { nodeStatus, type Ran, resourceStatus, Scene } from './support.ts';

const DIRECTORY = join(import.meta.dirname, '../../vectors/hast/hastctl');
const MiB = 1024 * 1024;

interface Captured {
  readonly cmd: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number;
}

const captured = (name: string): Captured =>
  JSON.parse(readFileSync(join(DIRECTORY, `${name}.out.json`), 'utf8')) as Captured;
const names = readdirSync(DIRECTORY)
  .filter((file) => file.endsWith('.out.json'))
  .map((file) => file.slice(0, -'.out.json'.length));

/** `hc A status test` ran hastctl with the configuration of node A; `$B/hastctl` without any word. */
const argsOf = ({ cmd }: Captured): string[] => (cmd.startsWith('hc ') ? cmd.split(' ').slice(2) : []);

/** What hastd told of a connected resource: captured bytes. */
function told(role: 'primary' | 'secondary'): HastctlStatus {
  const bytes = readFileSync(join(DIRECTORY, `status_all_${role}.reply.bin`));
  const reply = decodeHastctlReply(decodeNv(bytes.subarray(5)), 'status');
  const [one] = reply.kind === 'status' ? reply.resources : [];
  if (one === undefined || 'error' in one) throw new Error('the capture holds no resource');
  return one;
}

/** The resource of a captured command, as hastd tells of it in that state. */
function stateOf(name: string): HastctlStatus {
  const ofB = name.includes('secondary');
  const one = told(ofB ? 'secondary' : 'primary');
  const idle = { ...one, workerpid: 0, worker: null };
  if (name.endsWith('_init')) return { ...idle, role: 'init' };
  if (name.endsWith('_unconnected')) return idle;
  const { worker } = one;
  if (!name.endsWith('_degraded') || worker === null) return one;
  const statistics = { ...worker.statistics, write: 2, flush: 2, activemapUpdate: 2 };
  return { ...one, worker: { ...worker, status: 'degraded', dirty: 2 * MiB, statistics } };
}

/** The same resource, as our daemon tells of it. */
function asOurs({ worker, workerpid: _, ...one }: HastctlStatus): ResourceStatus {
  if (worker === null) return resourceStatus({ ...one, status: '-' });
  const { statistics: count, queues, status, dirty, extentsize } = worker;
  return resourceStatus({
    ...{ ...one, status, extentsize, queues, dirtyBytes: dirty },
    counters: {
      ...{ reads: count.read, writes: count.write, deletes: count.delete, flushes: count.flush },
      activemapUpdates: count.activemapUpdate,
      ...{ readErrors: 0, writeErrors: 0, deleteErrors: 0, flushErrors: 0 },
    },
  });
}

let scene: Scene;
let peer: HastdPeer | null = null;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(async () => {
  await peer?.close();
  peer = null;
  await scene.close();
});

/** What must be equal, with the two masks. */
function expectAsCaptured(ran: Ran, { stdout, stderr, exit }: Captured): void {
  const mask = (text: string): string =>
    text
      .replaceAll('uds:///var/hast/node/run/A/ctl', '<control>')
      .replaceAll(scene.path('ctl'), '<control>')
      .replaceAll('/var/hast/node/disks/a.img', '<disk>')
      .replaceAll(scene.path('test'), '<disk>');
  expect({ code: ran.code, out: mask(ran.out), err: mask(ran.err) }).toEqual({
    ...{ code: exit, out: mask(stdout), err: mask(stderr) },
  });
}

const asHastctl = (vector: Captured): Promise<Ran> => scene.runOn({ program: 'hastctl' }, ...argsOf(vector));

const online = names.filter((name) => /^(status|list|role)_/.test(name) && name !== 'status_no_daemon');

describe.each(online)('%s', (name) => {
  const vector = captured(name);

  it('is printed and exits as captured, when our daemon answers', async () => {
    const state = stateOf(name);
    const status: NodeStatus = nodeStatus([asOurs(state)], { pid: state.workerpid });
    await scene.serve(({ command, args }) =>
      Promise.resolve(command === 'status' ? status : unknown(args['resources'])),
    );
    expectAsCaptured(await asHastctl(vector), vector);
  });

  it('is printed and exits as captured, when a stock hastd answers', async () => {
    peer = await HastdPeer.start(scene.path('ctl'), [stateOf(name)]);
    expectAsCaptured(await asHastctl(vector), vector);
    expect(peer.cutOff).toBe(0);
  });
});

function unknown(resources: unknown): RoleResult[] {
  return [
    { resource: String(resources), previous: null, error: 'unknown', code: 'unknown-resource', number: 1 },
  ];
}

describe('without a daemon', () => {
  it.each(['status_no_daemon', 'usage', 'dump_unknown', 'create_unknown'])(
    '%s is printed and exits as captured',
    async (name) => {
      expectAsCaptured(await asHastctl(captured(name)), captured(name));
    },
  );

  it.each(['create_bad_extent', 'create_too_big'])('%s is refused as captured', async (name) => {
    await scene.write('test', '');
    await truncate(scene.path('test'), 64 * MiB);
    expectAsCaptured(await asHastctl(captured(name)), captured(name));
  });

  it.each<[name: string, meta: Partial<HastMetadata>]>([
    ['dump_fresh', {}],
    ['dump_connected_A', { resuid: 10321298635520738230n, prevrole: 'primary' }],
    ['dump_connected_B', { resuid: 10321298635520738230n, prevrole: 'secondary' }],
  ])('%s is printed and exits as captured', async (name, changes) => {
    const fresh = {
      ...{ resource: 'test', datasize: 67_104_256, extentsize: 2 * MiB, keepdirty: 64, offset: 4608 },
      ...{ resuid: 0n, localcnt: 0n, remotecnt: 0n, prevrole: 'init' as const },
    };
    await scene.write('test', encodeMetadataBlock({ ...fresh, ...changes }, null));
    await scene.write('hast.conf', `resource test { local ${scene.path('test')} on a { remote none } }\n`);
    expectAsCaptured(await asHastctl(captured(name)), captured(name));
  });

  it('leaves out no captured command', () => {
    const here = ['status_no_daemon', 'usage', 'dump_unknown', 'create_unknown', 'create_bad_extent'];
    const more = ['create_too_big', 'dump_fresh', 'dump_connected_A', 'dump_connected_B'];
    expect([...online, ...here, ...more].sort()).toEqual(names);
  });
});

/** hastd's line numbers are off by one and its words tell no remedy: only the exit codes are the same. */
describe('a mistake in hast.conf', () => {
  const blocks = readFileSync(join(DIRECTORY, 'config_errors.txt'), 'utf8').split(/^== /m).slice(1);
  const exits = new Map(
    blocks.map((block) => [
      block.split('\n')[0] ?? '',
      Number(
        block
          .match(/exit (\d+)/g)
          ?.at(-1)
          ?.slice(5),
      ),
    ]),
  );
  const on = 'on a { remote none }';
  const configs: Readonly<Record<string, string>> = {
    'digits as name': `resource 1 { local /x ${on} }`,
    'keyword as name': `resource local { local /x ${on} }`,
    'no node section': 'resource r { local /x on other { remote none } }',
    'no remote': 'resource r { local /x on a { source 10.0.0.1 } }',
    'remote digits only': 'resource r { local /x\non a { remote 1 } }',
    dup: `resource r { local /x ${on} }\nresource r { local /x ${on} }`,
    'timeout 0': `timeout 0\nresource r { local /x ${on} }`,
    'no local': `resource r { ${on} }`,
    'bad char': `resource r { local /non@exist ${on} }`,
    'keyword in wrong place': `resource r { listen 10.0.0.1 local /x ${on} }`,
  };
  /** Who we are is told with -n here; that a host id or uuid names us is a matter of the configuration's tests. */
  const elsewhere = ['uuid lower', 'hostid', 'missing file'];

  it.each(Object.entries(configs))('%s exits as captured, and says where and what', async (title, text) => {
    await scene.write('hast.conf', `${text}\n`);
    const { code, out, err } = await scene.run('dump');
    expect({ code, out }).toEqual({ code: exits.get(title), out: '' });
    expect(err).toMatch(/hast\.conf:\d+:\d+: /);
  });

  it('is also a file that is missing', async () => {
    const { code } = await scene.run('-c', '/nonexistent', 'dump');
    expect(code).toBe(exits.get('missing file'));
  });

  it('leaves out no captured mistake', () => {
    expect([...Object.keys(configs), ...elsewhere].sort()).toEqual([...exits.keys()].sort());
  });
});

describe('a stock hastd', () => {
  const bytes = (name: string): Buffer => readFileSync(join(DIRECTORY, `${name}.request.bin`));
  const plain = (frame: Buffer): string => maskNamePadding(frame.subarray(5)).toString('hex');

  it('is asked for a role in the bytes that hastctl sends, after it was met', async () => {
    peer = await HastdPeer.start(scene.path('ctl'), [told('secondary')]);
    const ran = await scene.run('-d', 'role', 'init', 'test');
    expect(ran).toEqual({
      code: 0,
      out: '[DEBUG][1] [test] Role changed from secondary to init.\n',
      err: '',
    });
    expect(peer.asked).toHaveLength(2);
    expect(plain(peer.asked[1] ?? Buffer.alloc(5))).toBe(plain(bytes('setrole_init')));
  });

  it('is met with the request for a status that hastctl sends, and one field that it does not see', async () => {
    peer = await HastdPeer.start(scene.path('ctl'), [told('primary')]);
    await scene.run('status');
    const [asked = Buffer.alloc(5)] = peer.asked;
    expect(peer.asked).toHaveLength(1);
    expect(plain(asked).startsWith(plain(bytes('status_all_primary')))).toBe(true);
    const introduced = { cmd: 2, role: null, resources: ['all'], introduces: true };
    expect(asked.equals(encodeHastctlRequest(introduced))).toBe(true);
  });

  it('tells programs what it knows under the names that we use', async () => {
    peer = await HastdPeer.start(scene.path('ctl'), [told('primary')]);
    const status = JSON.parse((await scene.run('status', '--json')).out) as object;
    expect(status).toMatchObject({
      daemon: 'hastd',
      resources: [
        {
          name: 'test',
          role: 'primary',
          status: 'complete',
          workerpid: 14654,
          dirtyBytes: 0,
          counters: { writes: 1 },
        },
      ],
    });
    const role = JSON.parse((await scene.run('role', '--json', 'primary', 'test', 'nosuch')).out) as object;
    expect(role).toMatchObject([
      { resource: 'test', previous: 'primary' },
      { resource: 'nosuch', number: 1 },
    ]);
  });

  it('is not told to stop over its socket, but how to', async () => {
    peer = await HastdPeer.start(scene.path('ctl'), [told('primary')]);
    const ran = await scene.run('stop');
    expect(ran).toMatchObject({ code: 69, out: '' });
    expect(ran.err).toContain('kill -TERM $(cat /var/run/hastd.pid)');
  });

  it('knows no groups, which is said', async () => {
    peer = await HastdPeer.start(scene.path('ctl'), []);
    const ran = await scene.run('groups');
    expect(ran.code).toBe(69);
    expect(ran.err).toContain('hastd knows only status, list and role');
  });
});
