/** A2: whose word says that a secondary may lack what was acknowledged. */
import { describe, expect, it } from 'vitest';

import { gatherEvidence } from '../../../../src/daemon/bind/evidence.ts';
import type { Member } from '../../../../src/daemon/bind/members.ts';
import { PeerState } from '../../../../src/daemon/peer-state.ts';
import type { Runtime } from '../../../../src/daemon/runtime.ts';
import type { ReplicationMode } from '../../../../src/model/roles.ts';
import type { GroupSettings } from '../../../../src/model/settings.ts';
import { DEFAULT_TIMING } from '../../../../src/model/timing.ts';

const RECORD = {
  epoch: { number: 3, id: 'ab'.repeat(8) },
  generations: { current: 'cd'.repeat(8), previous: 'ef'.repeat(8) },
  state: 'clean',
  primary: 'hasta',
  inSync: ['hasta', 'hastb'],
  released: false,
};

/** How good hastb finds its copy, whose own hast.conf says `own` and whose primary told `told`. */
function freshness(own: ReplicationMode, told: ReplicationMode | null): string | undefined {
  const snapshot = { record: RECORD, freshness: { kind: 'inSync' }, peerProblem: null, primaryMode: told };
  const lease = { heardAt: () => Number.NEGATIVE_INFINITY };
  const member = {
    ...{ settings: { name: 'disk1', replication: own }, snapshot, lease, doubt: null, error: null },
  } as unknown as Member;
  const runtime = {
    ...{ node: 'hastb', boot: 'b', startedAt: 0, wake: { since: 0 }, peer: new PeerState() },
    clock: { now: () => 10_000 },
    holds: { of: () => null },
    settings: { peer: { name: 'hasta' }, references: [], timing: DEFAULT_TIMING },
  } as unknown as Runtime;
  const group = { name: 'g', peerKind: 'hastate', policy: 'available', allowLoss: false } as GroupSettings;
  const { members } = gatherEvidence(runtime, {
    ...{ group, members: [member], allMembers: [member], obstacles: [], fencedAt: null },
    ...{ references: { reached: 0, reachedSince: () => 0 }, fencedAt: null, trigger: { kind: 'automatic' } },
  });
  return members[0]?.freshness.kind;
}

describe('a secondary in sync', () => {
  it.each([
    ['fullsync', 'fullsync', 'inSync'],
    ['fullsync', 'async', 'unknown'],
    ['async', 'fullsync', 'inSync'],
    ['async', null, 'unknown'],
    ['memsync', null, 'inSync'],
  ] as const)('whose hast.conf says %s and whose primary said %s is %s', (own, told, expected) => {
    expect(freshness(own, told)).toBe(expected);
  });
});
