/** Evidence for tests: a standby whose primary was last heard one second ago. */
import type { Evidence, MemberEvidence } from '../../src/model/evidence.ts';
import { DEFAULT_TIMING } from '../../src/model/timing.ts';

export interface Given extends Partial<Omit<Evidence, 'members' | 'report' | 'heardAt'>> {
  readonly members?: readonly Partial<MemberEvidence>[];
  readonly report?: Partial<NonNullable<Evidence['report']>> | null;
  readonly heardAt?: Partial<Evidence['heardAt']>;
}

const EPOCH = { number: 7, id: '00000000000000aa' };

const MEMBER: MemberEvidence = {
  resource: 'disk1',
  diskError: null,
  state: 'clean',
  epoch: EPOCH,
  soleOwner: false,
  freshness: { kind: 'inSync' },
  dataLinkDownAt: 9400,
  dataLinkUp: false,
  peerAgrees: true,
  wentApart: false,
};

export function evidenceOf(given: Given = {}): Evidence {
  const { members = [{}], report = {}, heardAt = {}, ...rest } = given;
  return {
    now: 10_000,
    self: 'hastb',
    peer: 'hasta',
    peerKind: 'hastate',
    trigger: { kind: 'automatic' },
    members: members.map((member) => ({ ...MEMBER, ...member })),
    heardAt: { dataLink: 9000, peerChannel: 9000, adverts: 9000, ...heardAt },
    startedAt: 0,
    awakeSince: 0,
    certainDeathAt: null,
    report:
      report === null
        ? null
        : {
            at: 9000,
            primary: true,
            changing: false,
            healthy: true,
            epoch: EPOCH,
            virgin: false,
            candidate: true,
            consentUntil: null,
            ...report,
          },
    references: { configured: 0, reached: 0 },
    obstacles: [],
    released: false,
    fencedAt: null,
    hold: null,
    bootWaitMs: 0,
    policy: 'available',
    timing: DEFAULT_TIMING,
    ...rest,
  };
}
