import { expect, it } from 'vitest';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import {
  MARKS_BYTES,
  readCopyFacts,
  readMarks,
  readResolveRequest,
} from '../../../src/protocol/resolve-message.ts';
import type { ResolveRequest } from '../../../src/protocol/resolve-message.ts';

const ID = '0123456789abcdef';
const DISCARD = {
  step: 'discard',
  resource: 'disk1',
  demote: true,
  judged: { epoch: { number: 4, id: ID }, generation: ID },
} as const;
const REQUESTS: readonly ResolveRequest[] = [
  { step: 'look', resource: 'disk1' },
  { step: 'marks', resource: 'disk1', from: 32_768 },
  { step: 'announce', resource: 'disk1', discard: 'hastb', demote: false, policy: null },
  { step: 'announce', resource: 'disk1', discard: 'hastb', demote: false, policy: 'discard-zero-changes' },
  DISCARD,
  { step: 'kept', resource: 'disk1' },
];
const FACTS = {
  ...{ node: 'hastb', role: 'primary', group: 'storage', record: VIRGIN_RECORD, error: null },
  ...{ dirtyExtents: 1, dirtyBytes: 2, extentBytes: 3, dataBytes: 4 },
};

it.each(REQUESTS)('reads the step $step as it was sent', (request) => {
  expect(readResolveRequest(JSON.parse(JSON.stringify(request)) as Record<string, unknown>)).toEqual(request);
});

it.each([
  ['no resource', { step: 'look' }],
  ['an unknown step', { step: 'erase', resource: 'disk1' }],
  ['a copy that was not judged', { step: 'discard', resource: 'disk1', demote: true }],
  ['a bad generation', { ...DISCARD, judged: { ...DISCARD.judged, generation: 'x' } }],
  ['a place in the map that is none', { step: 'marks', resource: 'disk1', from: -1 }],
  ['no epoch', { ...DISCARD, judged: { generation: ID } }],
  ['no word on demotion', { ...DISCARD, demote: undefined }],
])('refuses a request with %s', (_, params) => {
  expect(() => readResolveRequest(params)).toThrow(expect.objectContaining({ code: 'peer-message-field' }));
});

it('reads what a node tells of its copy', () => {
  expect(readCopyFacts(JSON.parse(JSON.stringify(FACTS)))).toEqual(FACTS);
  expect(readCopyFacts({ ...FACTS, record: null, error: 'gone' })).toMatchObject({
    record: null,
    error: 'gone',
  });
});

it.each([
  ['a role that there is not', { role: 'king' }],
  ['less than nothing', { dirtyBytes: -1 }],
  ['half a record', { record: { state: 'clean' } }],
])('refuses a copy with %s', (_, change) => {
  expect(() => readCopyFacts({ ...FACTS, ...change })).toThrow(
    expect.objectContaining({ code: 'peer-message-field' }),
  );
});

it('reads a piece of a map as it was sent, and none that is longer', () => {
  const sent = (bytes: number) => ({ marks: Buffer.alloc(bytes, 0xa5).toString('base64') });
  expect(readMarks(sent(MARKS_BYTES)).equals(Buffer.alloc(MARKS_BYTES, 0xa5))).toBe(true);
  expect(readMarks(sent(0)).length).toBe(0);
  for (const wrong of [sent(MARKS_BYTES + 3), {}, { marks: 5 }, null])
    expect(() => readMarks(wrong)).toThrow(expect.objectContaining({ code: 'peer-message-field' }));
});
