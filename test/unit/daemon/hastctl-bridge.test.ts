/** What the stock hastctl is told, from captured requests to captured answers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { answerHastctl, type HastctlPorts } from '../../../src/daemon/hastctl-bridge.ts';
import { HastateError } from '../../../src/model/errors.ts';
import type { ResourceStatus, RoleResult } from '../../../src/protocol/control.ts';
import {
  decodeHastctlReply,
  encodeHastctlRequest,
  type HastctlReply,
  type HastctlRequest,
} from '../../../src/protocol/hastctl.ts';
import { encodeFrame } from '../../../src/protocol/hast-frame.ts';
import { decodeNv } from '../../../src/protocol/nv.ts';
import { nodeStatus, resourceStatus } from '../cli/support.ts';
import { asIndexed, maskNamePadding } from '../protocol/hast-vectors.ts';

const vector = (file: string): Buffer =>
  readFileSync(join(import.meta.dirname, '../../vectors/hast/hastctl', file));

const asked: unknown[][] = [];

function ports(
  resources: readonly ResourceStatus[],
  pid = 0,
  results: readonly RoleResult[] = [],
): HastctlPorts {
  asked.length = 0;
  return {
    version: '1.2.3',
    status: () => Promise.resolve(nodeStatus(resources, { pid })),
    role: (role, names) => {
      asked.push([role, ...names]);
      return Promise.resolve(results);
    },
  };
}

const counters = {
  ...resourceStatus().counters,
  reads: 1,
  writes: 1,
  deletes: 1,
  flushes: 1,
  activemapUpdates: 1,
};
const A = resourceStatus({ role: 'primary', status: 'complete', counters });
const B = resourceStatus({
  ...{ role: 'secondary', status: 'complete', dirtyBytes: 2_097_152 },
  ...{ localpath: '/var/hast/node/disks/b.img', remoteaddr: 'tcp4://127.0.0.11:8457' },
  ...{ sourceaddr: 'tcp4://127.0.0.12', counters: { ...counters, reads: 0 } },
});
const done = (resource: string, previous: RoleResult['previous']): RoleResult => ({
  ...{ resource, previous, error: null, code: null, number: 0 },
});

const CAPTURED: [name: string, ports: () => HastctlPorts][] = [
  ['status_all_primary', () => ports([A], 14654)],
  ['status_all_secondary', () => ports([B], 14659)],
  ['status_unknown_wire', () => ports([A])],
  ['setrole_init', () => ports([B], 1, [done('test', 'secondary')])],
  ['bad_cmd', () => ports([A])],
  ['bad_role', () => ports([A])],
  ['missing_resource', () => ports([A])],
];

describe('a captured request of hastctl', () => {
  it.each(CAPTURED)('%s gets the bytes that hastd answered', async (name, make) => {
    const reply = await answerHastctl(vector(`${name}.request.bin`), make());
    const expected = vector(`${name}.reply.bin`);
    expect(asIndexed(decodeNv(reply.subarray(5)))).toEqual(asIndexed(decodeNv(expected.subarray(5))));
    expect([...reply.subarray(0, 5)]).toEqual([...expected.subarray(0, 5)]);
    // hastd leaves garbage in the padding of names.
    expect(maskNamePadding(reply.subarray(5)).equals(maskNamePadding(expected.subarray(5)))).toBe(true);
  });

  it('changes no role when it is refused as a whole', async () => {
    const idle = ports([A]);
    for (const name of ['bad_cmd', 'bad_role', 'missing_resource'])
      await answerHastctl(vector(`${name}.request.bin`), idle);
    expect(asked).toEqual([]);
  });
});

async function ask(request: HastctlRequest, answering: HastctlPorts): Promise<HastctlReply> {
  const reply = await answerHastctl(encodeHastctlRequest(request), answering);
  return decodeHastctlReply(decodeNv(reply.subarray(5)), request.cmd === 1 ? 'setrole' : 'status');
}

describe('hastctl', () => {
  it('is told of each resource in the order in which it asks, known or not', async () => {
    const other = resourceStatus({ name: 'other' });
    const reply = await ask(
      { cmd: 2, role: null, resources: ['other', 'nosuch', 'test'] },
      ports([A, other], 7),
    );
    expect(reply).toMatchObject({
      resources: [
        { name: 'other', workerpid: 0, worker: null },
        { name: 'nosuch', error: 1 },
        { name: 'test', workerpid: 7, worker: { status: 'complete' } },
      ],
    });
  });

  it('gets an empty answer for all of no resources', async () => {
    await expect(ask({ cmd: 2, role: null, resources: ['all'] }, ports([]))).resolves.toEqual({
      kind: 'status',
      resources: [],
    });
  });

  it('is told the number of a refusal, and the former role of what was done', async () => {
    const refused: RoleResult = { resource: 'a', previous: 'init', error: 'no', code: 'x', number: 13 };
    const reply = await ask(
      { cmd: 1, role: 'primary', resources: ['a', 'b'] },
      ports([], 0, [refused, done('b', 'secondary')]),
    );
    expect(asked).toEqual([['primary', 'a', 'b']]);
    expect(reply).toEqual({
      kind: 'setrole',
      resources: [
        { name: 'a', error: 13 },
        { name: 'b', previousRole: 'secondary' },
      ],
    });
  });

  it('is told EBUSY when too many changes of roles wait already', async () => {
    const full = { ...ports([]), role: () => Promise.reject(new HastateError('too-many-requests', 'later')) };
    await expect(ask({ cmd: 1, role: 'init', resources: ['all'] }, full)).resolves.toEqual({
      kind: 'error',
      error: 16,
    });
  });

  it('is told INVALID when it names no command, or one of another type', async () => {
    for (const fields of [[], [{ name: 'cmd', type: 'uint32', value: 2 } as const]]) {
      const reply = await answerHastctl(Buffer.concat(encodeFrame(2, fields)), ports([]));
      expect(decodeHastctlReply(decodeNv(reply.subarray(5)), 'status')).toEqual({ kind: 'error', error: 2 });
    }
  });

  it('that introduces itself as ours is told the version and asks on in our protocol', async () => {
    await expect(
      ask({ cmd: 2, role: null, resources: ['all'], introduces: true }, ports([A])),
    ).resolves.toEqual({ kind: 'hastate', version: '1.2.3' });
  });
});
