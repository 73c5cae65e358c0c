import { describe, expect, it } from 'vitest';
import { errnoToWire } from '../../../src/protocol/hast-message.ts';
import {
  decodeHastctlReply,
  decodeHastctlRequest,
  encodeHastctlReply,
  encodeHastctlRequest,
  HASTCTL_CMD,
  HASTCTL_ERROR,
} from '../../../src/protocol/hastctl.ts';
import { decodeNv, encodeNv } from '../../../src/protocol/nv.ts';
import type { NvMap } from '../../../src/protocol/nv.ts';
import { asIndexed, maskNamePadding, readInPieces, vectorBytes, vectorNames } from './hast-vectors.ts';

const names = vectorNames('hastctl').flatMap((file) =>
  file.endsWith('.request.bin') ? [file.slice(0, -'.request.bin'.length)] : [],
);

function captured(file: string): { bytes: Buffer; nv: NvMap } {
  const bytes = vectorBytes(`hastctl/${file}`);
  const [frame] = readInPieces(bytes, []);
  if (frame === undefined) throw new Error(`${file} holds no frame`);
  return { bytes, nv: frame.nv };
}

describe.each(names)('hastctl %s', (name) => {
  const request = captured(`${name}.request.bin`);
  const reply = captured(`${name}.reply.bin`);

  it('has a request that encodes back to its bytes', () => {
    const decoded = decodeHastctlRequest(request.nv);
    if (name === 'bad_role') return;
    expect(mask(encodeHastctlRequest(decoded))).toBe(mask(request.bytes));
  });

  it('has a reply that encodes back to its bytes', () => {
    const kind = decodeHastctlRequest(request.nv).cmd === 1 ? 'setrole' : 'status';
    const encoded = encodeHastctlReply(decodeHastctlReply(reply.nv, kind));
    expect(asIndexed(decodeNv(encoded.subarray(5)))).toEqual(asIndexed(reply.nv));
    expect(mask(encoded)).toBe(mask(reply.bytes));
  });
});

it('reads what was asked', () => {
  expect(decodeHastctlRequest(captured('setrole_init.request.bin').nv)).toEqual({
    cmd: 1,
    role: 'init',
    resources: ['test'],
  });
  expect(decodeHastctlRequest(captured('bad_role.request.bin').nv).role).toBeNull();
  expect(decodeHastctlRequest(captured('missing_resource.request.bin').nv).resources).toEqual([]);
});

it.each([
  ['missing_resource', HASTCTL_CMD.STATUS, HASTCTL_ERROR.INVALID],
  ['bad_role', HASTCTL_CMD.SETROLE, HASTCTL_ERROR.INVALID],
  ['bad_cmd', 9, HASTCTL_ERROR.UNIMPLEMENTED],
])('%s is refused with the number that hastd uses', (name, cmd, error) => {
  expect(decodeHastctlRequest(captured(`${name}.request.bin`).nv).cmd).toBe(cmd);
  expect(decodeHastctlReply(captured(`${name}.reply.bin`).nv, 'setrole')).toEqual({ kind: 'error', error });
});

it('answers for an unknown name with the number that hastd uses', () => {
  const reply = decodeHastctlReply(captured('status_unknown_wire.reply.bin').nv, 'status');
  expect(reply).toEqual({ kind: 'status', resources: [{ name: 'nosuch', error: HASTCTL_ERROR.NO_ENTRY }] });
});

it('reads a primary’s status as the stock hastctl shows it', () => {
  const reply = decodeHastctlReply(captured('status_all_primary.reply.bin').nv, 'status');
  expect(reply).toMatchObject({
    kind: 'status',
    resources: [{ name: 'test', role: 'primary', worker: { status: 'complete', keepdirty: 64 } }],
  });
});

it('answers for a resource without an engine and for one that failed', () => {
  const idle = {
    name: 'a',
    provname: 'a',
    localpath: '/dev/a',
    remoteaddr: 'none',
    sourceaddr: null,
    replication: 'memsync',
    checksum: 'none',
    compression: 'hole',
    role: 'init',
    workerpid: 0,
    worker: null,
  } as const;
  const reply = { kind: 'status', resources: [idle, { name: 'b', error: errnoToWire('EBUSY') }] } as const;
  expect(decodeHastctlReply(decodeNv(encodeHastctlReply(reply).subarray(5)), 'status')).toEqual(reply);
});

it.each([
  ['no command', [], 'hastctl-cmd'],
  ['a command of another type', [{ name: 'cmd', type: 'uint32', value: 1 }], 'nv-type'],
] as const)('refuses a request with %s', (_what, fields, code) => {
  expect(() => decodeHastctlRequest(decodeNv(encodeNv(fields)))).toThrow(
    expect.objectContaining({ code }) as Error,
  );
});

it('refuses a reply with a role that does not exist', () => {
  const nv = encodeNv([
    { name: 'resource0', type: 'string', value: 'a' },
    { name: 'role0', type: 'string', value: 'tertiary' },
  ]);
  expect(() => decodeHastctlReply(decodeNv(nv), 'setrole')).toThrow(
    expect.objectContaining({ code: 'hastctl-field' }) as Error,
  );
});

function mask(frame: Buffer): string {
  return maskNamePadding(frame.subarray(5)).toString('hex');
}
