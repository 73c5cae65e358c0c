import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import { DEFAULT_TIMING } from '../../../src/model/timing.ts';
import {
  PEER_LINE_LIMIT,
  decodePeerMessage,
  encodePeerMessage,
  timingDigest,
} from '../../../src/protocol/peer-message.ts';
import type { PeerHeartbeat, PeerMessage } from '../../../src/protocol/peer-message.ts';

const ID = '0123456789abcdef';
const HEARTBEAT: PeerHeartbeat = {
  type: 'heartbeat',
  seq: 7,
  sentAt: 1234.5,
  echo: { boot: ID, at: -2.25 },
  groups: [
    {
      name: 'storage',
      primary: true,
      changing: false,
      healthy: true,
      epoch: { number: 4, id: ID },
      virgin: false,
      candidate: true,
      hold: null,
      addressSet: null,
    },
  ],
  resources: [
    {
      name: 'disk1',
      record: {
        ...VIRGIN_RECORD,
        state: 'clean',
        primary: 'hast1',
        inSync: ['hast1', 'hast2'],
        epoch: { number: 4, id: ID },
      },
      freshnessKind: 'inSync',
      role: 'primary',
    },
  ],
};
const MESSAGES: readonly [string, PeerMessage][] = [
  ['hello', { type: 'hello', node: 'hast1', boot: ID, version: '0.1.0', timing: ID }],
  ['heartbeat', HEARTBEAT],
  ['first heartbeat', { ...HEARTBEAT, echo: null, groups: [], resources: [] }],
  [
    'request',
    { type: 'request', id: 1, method: 'outdate', params: { resource: 'disk1', epoch: { number: 1 } } },
  ],
  ['reply', { type: 'reply', id: 1, ok: true, result: { any: [1, 'x', null] } }],
  ['refusal', { type: 'reply', id: 1, ok: false, error: { code: 'not-now', message: 'a hook\nruns' } }],
  ['goodbye', { type: 'goodbye' }],
];

const line = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function fieldOf(value: unknown): string {
  try {
    decodePeerMessage(line(value));
  } catch (error) {
    if (error instanceof WireError) return error.field;
    throw error;
  }
  return 'none';
}

describe('a peer message', () => {
  it.each(MESSAGES)('%s comes back as it was sent, on one line', (_, message) => {
    const bytes = encodePeerMessage(message);
    expect(bytes.indexOf('\n')).toBe(bytes.length - 1);
    expect(decodePeerMessage(bytes)).toEqual(message);
  });

  it.each(MESSAGES)('%s is refused wherever it is cut off', (_, message) => {
    const bytes = encodePeerMessage(message);
    for (let length = 0; length < bytes.length - 1; length += 1) {
      expect(() => decodePeerMessage(bytes.subarray(0, length))).toThrow(WireError);
    }
  });

  it('ignores fields that a later version adds', () => {
    expect(decodePeerMessage(line({ type: 'goodbye', why: 'upgrade' }))).toEqual({ type: 'goodbye' });
  });

  it('does not let a field of JSON become a prototype', () => {
    const text =
      '{"type":"request","id":1,"method":"status","params":{"__proto__":{"x":1}},"__proto__":{"y":1}}';
    const message = decodePeerMessage(Buffer.from(text));
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect('y' in message).toBe(false);
  });

  it.each([
    ['message', 7],
    ['message', null],
    ['message', []],
    ['type', { type: 'order' }],
    ['type', { type: 'toString' }],
    ['boot', { ...MESSAGES[0]?.[1], boot: 'ABCDEF0123456789' }],
    ['node', { ...MESSAGES[0]?.[1], node: 'x\ny' }],
    ['node', { ...MESSAGES[0]?.[1], node: '' }],
    ['seq', { ...HEARTBEAT, seq: -1 }],
    ['seq', { ...HEARTBEAT, seq: 2 ** 53 }],
    ['sentAt', { ...HEARTBEAT, sentAt: '1' }],
    ['sentAt', { ...HEARTBEAT, sentAt: Infinity }],
    ['echo', { ...HEARTBEAT, echo: undefined }],
    ['echo.at', { ...HEARTBEAT, echo: { boot: ID, at: null } }],
    ['groups', { ...HEARTBEAT, groups: {} }],
    ['groups', { ...HEARTBEAT, groups: Array.from({ length: 257 }, () => HEARTBEAT.groups[0]) }],
    ['groups[0].healthy', { ...HEARTBEAT, groups: [{ ...HEARTBEAT.groups[0], healthy: 1 }] }],
    [
      'groups[0].epoch.id',
      { ...HEARTBEAT, groups: [{ ...HEARTBEAT.groups[0], epoch: { number: 1, id: '' } }] },
    ],
    ['resources[0].role', { ...HEARTBEAT, resources: [{ ...HEARTBEAT.resources[0], role: 'MASTER' }] }],
    [
      'resources[0].record.inSync[1]',
      {
        ...HEARTBEAT,
        resources: [{ ...HEARTBEAT.resources[0], record: { ...VIRGIN_RECORD, inSync: ['a', 2] } }],
      },
    ],
    ['method', { type: 'request', id: 1, method: 'promote', params: {} }],
    ['params', { type: 'request', id: 1, method: 'claim', params: [] }],
    ['ok', { type: 'reply', id: 1 }],
    ['error.code', { type: 'reply', id: 1, ok: false, error: { message: 'x' } }],
  ])('is refused by the name of its wrong field: %s', (field, value) => {
    expect(fieldOf(value)).toBe(field);
  });

  it('is refused, in both directions, when it is longer than a line may be', () => {
    const long: PeerMessage = { type: 'reply', id: 1, ok: true, result: 'x'.repeat(PEER_LINE_LIMIT) };
    expect(() => encodePeerMessage(long)).toThrow(expect.objectContaining({ code: 'peer-message-too-long' }));
    expect(() => decodePeerMessage(line(long))).toThrow(
      expect.objectContaining({ code: 'peer-message-too-long' }),
    );
  });

  it('is refused without harm when it is nested as deep as a line allows', () => {
    expect(() => decodePeerMessage(Buffer.alloc(PEER_LINE_LIMIT, '['))).toThrow(WireError);
    const deep = `{"type":"reply","id":1,"ok":true,"result":${'['.repeat(30_000)}${']'.repeat(30_000)}}`;
    expect(decodePeerMessage(Buffer.from(deep))).toMatchObject({ id: 1 });
  });

  it('is either valid or a WireError after any mutation of its bytes', () => {
    const edit = fc.record({
      at: fc.nat(),
      byte: fc.nat(255),
      kind: fc.constantFrom('set', 'insert', 'delete'),
    });
    const message = fc.constantFrom(...MESSAGES.map(([, value]) => value));
    fc.assert(
      fc.property(message, fc.array(edit, { minLength: 1, maxLength: 8 }), (original, edits) => {
        const bytes = [...encodePeerMessage(original)];
        for (const { at, byte, kind } of edits) {
          const where = at % (bytes.length + 1);
          bytes.splice(where, kind === 'insert' ? 0 : 1, ...(kind === 'delete' ? [] : [byte]));
        }
        try {
          const decoded = decodePeerMessage(Buffer.from(bytes));
          expect(decodePeerMessage(encodePeerMessage(decoded))).toEqual(decoded);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

it('digests equal times equally and different times differently', () => {
  expect(timingDigest({ ...DEFAULT_TIMING })).toBe(timingDigest(DEFAULT_TIMING));
  expect(timingDigest({ ...DEFAULT_TIMING, holdMs: 601 })).not.toBe(timingDigest(DEFAULT_TIMING));
});
