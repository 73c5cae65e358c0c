/** Durable records: what one of them is worth, alone or beside the other node's. Ours is hastb's. */
import { expect } from 'vitest';

import { refusesHandover } from '../../../src/model/handover.ts';
import {
  compareEpochs,
  type Freshness,
  freshnessByExchange,
  joined,
  ownsAlone,
  promoted,
  type ResourceRecord,
  wasLatestPrimary,
  wentAlone,
} from '../../../src/model/record.ts';
import { type CopyFacts, judgeResolve } from '../../../src/model/resolve.ts';
import { decideByHistory } from '../../../src/replication/split-brain.ts';

const SELF = 'hastb';
const PEER = 'hasta';
const SHARED: ResourceRecord = {
  epoch: { number: 7, id: '00000000000000aa' },
  generations: { current: '00000000000000a1', previous: '0000000000000000' },
  state: 'clean',
  primary: PEER,
  inSync: [PEER, SELF],
  released: false,
};

export interface RecordScenario {
  readonly records: {
    readonly ours: Partial<ResourceRecord>;
    readonly theirs?: Partial<ResourceRecord>;
    /** What the disk itself says now. */
    readonly freshness?: Freshness;
    /** What is done to ours first. */
    readonly then?: 'went-alone' | 'joined' | { readonly promoted: readonly string[] };
    readonly role?: CopyFacts['role'];
    readonly demote?: boolean;
  };
  readonly expect: {
    readonly freshness?: Freshness['kind'];
    readonly soleOwner?: boolean;
    readonly order?: string;
    /** Words of the refusal, or null: it may take over. */
    readonly handover?: string | null;
    /** `sync primary`, `sync secondary full`, `split-brain`, `refuse`. */
    readonly meeting?: string;
    /** `discard`, or `refuse CODE`; the operator gives up hastb's copy. */
    readonly resolve?: string;
    readonly latestPrimary?: boolean;
    readonly record?: Partial<ResourceRecord>;
  };
}

export function runRecords({ records, expect: expected }: RecordScenario): void {
  const theirs: ResourceRecord = { ...SHARED, ...records.theirs };
  const ours = after({ ...SHARED, ...records.ours }, records.then);
  const seen: Record<string, unknown> = {
    freshness: freshnessByExchange(ours, theirs, SELF).kind,
    soleOwner: ownsAlone(ours, records.freshness ?? { kind: 'inSync' }, SELF),
    order: compareEpochs(ours.epoch, theirs.epoch),
    meeting: meeting(ours, theirs),
    resolve: resolve(ours, theirs, records),
    latestPrimary: wasLatestPrimary(ours, records.theirs === undefined ? null : theirs, SELF),
  };
  const { handover, record, ...plain } = expected;
  for (const [what, value] of Object.entries(plain)) expect(seen[what], what).toBe(value);
  if (record !== undefined) expect(ours).toMatchObject(record);
  if (handover === undefined) return;
  const refusal = refusesHandover([{ resource: 'disk1', record: ours }], { disk1: theirs }, SELF);
  if (handover === null) expect(refusal).toBeNull();
  else expect(refusal).toContain(handover);
}

function after(record: ResourceRecord, what: RecordScenario['records']['then']): ResourceRecord {
  if (what === undefined) return record;
  if (what === 'went-alone') return wentAlone(record, SELF, '00000000000000b2');
  if (what === 'joined') return joined(record, PEER);
  return promoted(record, SELF, { number: record.epoch.number + 1, id: '00000000000000bb' }, what.promoted);
}

function meeting(ours: ResourceRecord, theirs: ResourceRecord): string {
  const verdict = decideByHistory(ours, theirs);
  if (verdict?.kind !== 'sync') return verdict?.kind ?? 'counters';
  return `sync ${verdict.source}${verdict.full ? ' full' : ''}`;
}

function resolve(
  ours: ResourceRecord,
  theirs: ResourceRecord,
  { role = 'secondary', demote = false }: RecordScenario['records'],
): string {
  const facts = { group: 'storage', error: null, dirtyExtents: 1, dirtyBytes: 65536, extentBytes: 65536 };
  const verdict = judgeResolve({
    resource: 'disk1',
    keep: { ...facts, node: PEER, role: 'primary', record: theirs, dataBytes: 1 << 20 },
    discard: { ...facts, node: SELF, role, record: ours, dataBytes: 1 << 20 },
    demote,
  });
  return verdict.answer === 'discard' ? 'discard' : `refuse ${verdict.reasons[0]?.code ?? ''}`;
}
