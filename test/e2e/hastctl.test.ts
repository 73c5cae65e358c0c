/**
 * Two real daemons that have only a hast.conf, driven as old scripts drive hastd: by hastctl's
 * frames, and by our own command line. And a pair with a group, asked by the same frames.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { connectNbd, type NbdInitiator } from '../../src/device/nbd-initiator.ts';
import { decodeNv } from '../../src/protocol/nv.ts';
import { groupOf, type LabDaemon, type LabNode, resourceOf } from '../support/daemon.ts';
import { askRole, askStatus, sayToControl } from '../support/hastctl.ts';
import { Lab } from '../support/lab.ts';

const EACCES = 13;
const EBUSY = 16;
const BLOCK = 4096;

const vector = (file: string): Buffer =>
  readFileSync(join(import.meta.dirname, '../vectors/hast/hastctl', file));

const changedFrom = (name: string, previousRole: string): object => ({
  kind: 'setrole',
  resources: [{ name, previousRole }],
});
const refusedWith = (name: string, error: number): object => ({
  kind: 'setrole',
  resources: [{ name, error }],
});

async function openExport(daemon: LabDaemon, resource: string): Promise<NbdInitiator> {
  const { export: offered } = resourceOf(await daemon.status(), resource);
  if (offered === null) throw new Error(`${daemon.node} exports nothing`);
  return connectNbd({ socketPath: offered.socket, exportName: offered.name });
}

async function write(daemon: LabDaemon, block: number, content: number): Promise<void> {
  const disk = await openExport(daemon, 'test');
  await disk.write(block * BLOCK, Buffer.alloc(BLOCK, content));
  await disk.disconnect();
}

async function read(daemon: LabDaemon, ...blocks: number[]): Promise<number[]> {
  const disk = await openExport(daemon, 'test');
  const found: number[] = [];
  for (const block of blocks) found.push((await disk.read(block * BLOCK, BLOCK))[0] ?? -1);
  await disk.disconnect();
  return found;
}

const inSync = (daemon: LabDaemon): Promise<unknown> =>
  daemon.until('complete, without a dirty extent', ({ resources: [one] }) =>
    Boolean(one && one.status === 'complete' && one.sync === null && one.dirtyBytes === 0),
  );

describe('two daemons with only a hast.conf', () => {
  let lab: Lab;
  let hasta: LabDaemon;
  let hastb: LabDaemon;
  const control = (node: LabNode): string => lab.places[node].control;
  beforeAll(async () => {
    lab = await Lab.make({ resources: ['test'] });
    hasta = lab.daemon('hasta', { hastateYaml: null }).start();
    hastb = lab.daemon('hastb', { hastateYaml: null }).start();
    await Promise.all([hasta.untilRunning(), hastb.untilRunning()]);
  });
  afterAll(() => lab.close());

  it('do nothing until they are told, then replicate', async () => {
    expect(await askStatus(control('hasta'), 'all')).toMatchObject({
      resources: [{ name: 'test', role: 'init', workerpid: 0, worker: null }],
    });
    expect(await askRole(control('hastb'), 'secondary', 'test')).toEqual(changedFrom('test', 'init'));
    expect(await askRole(control('hasta'), 'primary', 'all')).toEqual(changedFrom('test', 'init'));
    await inSync(hasta);
    await write(hasta, 0, 7);
    const { pid } = await hasta.status();
    expect(await askStatus(control('hasta'), 'test')).toMatchObject({
      resources: [
        { role: 'primary', workerpid: pid, worker: { status: 'complete', statistics: { write: 1 } } },
      ],
    });
    expect(await askStatus(control('hastb'), 'test')).toMatchObject({
      resources: [
        {
          role: 'secondary',
          worker: { status: 'complete', keepdirty: 0, dirty: 0, statistics: { write: 1 } },
        },
      ],
    });
  });

  it.each([
    ['status_all_primary', 'hasta'],
    ['status_all_secondary', 'hastb'],
  ] as const)('answer %s with the fields that hastd has, in its order', async (name, node) => {
    const fieldsOf = (frame: Buffer): string[] =>
      decodeNv(frame.subarray(5))
        .fields()
        .map((field) => `${field.name}: ${field.type}`);
    const reply = await sayToControl(control(node), vector(`${name}.request.bin`));
    expect(fieldsOf(reply)).toEqual(fieldsOf(vector(`${name}.reply.bin`)));
  });

  it.each(['bad_cmd', 'bad_role', 'missing_resource', 'status_unknown_wire'])(
    'answer %s as hastd does',
    async (name) => {
      const reply = await sayToControl(control('hasta'), vector(`${name}.request.bin`));
      const fields = (frame: Buffer): unknown => decodeNv(frame.subarray(5)).fields();
      expect(fields(reply)).toEqual(fields(vector(`${name}.reply.bin`)));
    },
  );

  it('are no hastate to a frame that cannot be read, and go on answering', async () => {
    const broken = Buffer.from([2, 4, 0, 0, 0, 0xff, 1, 2, 3]);
    expect(await sayToControl(control('hasta'), broken)).toEqual(Buffer.alloc(0));
    expect(await askStatus(control('hasta'), 'test')).toMatchObject({ kind: 'status' });
  });

  it('never make a second primary beside one that is heard, and say why', async () => {
    const told = lab.hastate('hastb', 'role', 'primary', 'test');
    const answered = new AbortController();
    void told.finally(() => answered.abort());
    // Whatever the primary says after it was asked for shows that it is alive.
    while (!answered.signal.aborted) await write(hasta, 1, 8);
    const { code, stdout, stderr } = await told;
    expect({ code, stdout }).toEqual({ code: EBUSY, stdout: '' });
    expect(stderr).toMatch(
      /^\[WARNING\] \[test\] Received error 16 from hastd\.\n\[WARNING\] \[test\] .*connected to its primary.*\[E1\]\n$/,
    );
    expect(await hastb.logged('role primary for test is refused with 16')).not.toEqual([]);
    expect(resourceOf(await hastb.status(), 'test').role).toBe('secondary');
  });

  it('fail over by hand when the primary is dead, and take it back as a secondary', async () => {
    await hasta.kill();
    expect(await askRole(control('hastb'), 'primary', 'test')).toEqual(changedFrom('test', 'secondary'));
    expect(await read(hastb, 0)).toEqual([7]);
    await write(hastb, 2, 9);
    await hasta.start().untilRunning();
    expect(await askRole(control('hasta'), 'secondary', 'test')).toEqual(changedFrom('test', 'init'));
    await inSync(hastb);
    expect(await askRole(control('hastb'), 'secondary', 'test')).toEqual(changedFrom('test', 'primary'));
    expect(await askRole(control('hasta'), 'primary', 'test')).toEqual(changedFrom('test', 'secondary'));
    await inSync(hasta);
    expect(await read(hasta, 0, 2)).toEqual([7, 9]);
  });

  it('free the disk in role init, so that it can be created again', async () => {
    const busy = await lab.hastate('hastb', 'create', '--force', 'test');
    expect(busy.code).toBe(66);
    expect(await askRole(control('hastb'), 'init', 'test')).toEqual(changedFrom('test', 'secondary'));
    expect(await lab.hastate('hastb', 'create', '--force', 'test')).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(await askRole(control('hastb'), 'secondary', 'test')).toEqual(changedFrom('test', 'init'));
    await inSync(hasta);
  });

  it('give roles one after another when several ask at once', async () => {
    const roles = ['init', 'secondary', 'init', 'secondary'] as const;
    const replies = await Promise.all(roles.map((role) => askRole(control('hastb'), role, 'test')));
    expect(replies).toEqual(
      ['secondary', 'init', 'secondary', 'init'].map((before) => changedFrom('test', before)),
    );
    await inSync(hasta);
  });

  it('do not promote a copy that met nobody since its daemon started, unless forced', async () => {
    await hastb.kill();
    await hasta.kill();
    await hastb.start().untilRunning();
    expect(await askRole(control('hastb'), 'primary', 'test')).toEqual(refusedWith('test', EACCES));
    const said = (await hastb.logged('role primary for test is refused with 13')).join('');
    expect(said).toContain('hastate promote test --force --reason TEXT');
    await hastb.request('promote', { group: 'test', force: true, reason: 'hasta is lost' }, 20_000);
    expect(await read(hastb, 0)).toEqual([7]);
  });

  it('are stopped by hastate stop, which waits for the end', async () => {
    expect(await lab.hastate('hastb', 'stop')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await hastb.endsWithin(5000)).toEqual({ code: 0, signal: null });
  });
});

describe('a group of hastate.yaml, asked by hastctl', () => {
  let lab: Lab;
  let pair: Readonly<Record<LabNode, LabDaemon>>;
  beforeAll(async () => {
    lab = await Lab.make({ resources: ['disk1', 'disk2'] });
    pair = await lab.startPair();
  });
  afterAll(() => lab.close());

  it('keeps its resources out of role init', async () => {
    expect(await askRole(lab.places.hasta.control, 'init', 'disk1')).toEqual(refusedWith('disk1', EACCES));
    expect(groupOf(await pair.hasta.status(), 'storage').state).toBe('primary.serving');
    expect((await pair.hasta.logged('moves with group storage')).length).toBeGreaterThan(0);
  });

  it('is not taken from a healthy primary', async () => {
    expect(await askRole(lab.places.hastb.control, 'primary', 'disk2')).toEqual(refusedWith('disk2', EBUSY));
    expect(groupOf(await pair.hasta.status(), 'storage').state).toBe('primary.serving');
  });

  it('moves as a whole to the other node when one of its resources is made secondary', async () => {
    expect(await askRole(lab.places.hasta.control, 'secondary', 'disk1', 'disk2')).toEqual({
      kind: 'setrole',
      resources: [
        { name: 'disk1', previousRole: 'primary' },
        { name: 'disk2', previousRole: 'secondary' },
      ],
    });
    await pair.hastb.untilPrimary('storage');
    expect(groupOf(await pair.hasta.status(), 'storage').role).toBe('secondary');
  });
});
