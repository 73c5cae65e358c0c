/** Gathers what this node knows about one group into the plain evidence that decides. */
import { lastHeard, peerPresence } from '../../model/presence.ts';
import type { Evidence, MemberEvidence, Trigger } from '../../model/evidence.ts';
import type { HandoverMember } from '../../model/handover.ts';
import { NO_EPOCH, ownsAlone, wasLatestPrimary, type Freshness } from '../../model/record.ts';
import type { PathName } from '../../model/roles.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { EngineSnapshot } from '../../replication/messages.ts';
import type { Runtime } from '../runtime.ts';
import type { Member } from './members.ts';
import { peerAgrees, wentApart } from './record-exchange.ts';

const NOT_OPEN: Freshness = { kind: 'unknown', why: 'the disk is not open' };

function memberEvidence(
  runtime: Runtime,
  { group, trigger }: EvidenceSources,
  member: Member,
): MemberEvidence {
  const { snapshot } = member;
  const record = snapshot?.record;
  return {
    resource: member.settings.name,
    diskError: member.error ?? snapshot?.diskError ?? (snapshot === null ? 'the disk is not open yet' : null),
    state: record?.state ?? 'virgin',
    epoch: record?.epoch ?? NO_EPOCH,
    soleOwner: snapshot !== null && ownsAlone(snapshot.record, snapshot.freshness, runtime.node),
    freshness:
      snapshot === null ? NOT_OPEN : asCandidate(runtime, allowsLoss(group, trigger), member, snapshot),
    dataLinkDownAt: snapshot?.dataLinkDownAt ?? null,
    dataLinkUp: snapshot?.dataLinkUp ?? false,
    peerAgrees: peerAgrees(runtime, member),
    wentApart: wentApart(runtime, member),
  };
}

/** What this node doubts, it does not serve. A2: an async secondary is no candidate unless the group says so. */
function asCandidate(
  runtime: Runtime,
  mayLack: boolean,
  member: Member,
  { freshness, record, peerProblem, primaryMode }: EngineSnapshot,
): Freshness {
  if (freshness.kind === 'unknown') return withProblem(freshness, peerProblem);
  if (freshness.kind !== 'inSync') return freshness;
  if (member.doubt !== null) return withProblem({ kind: 'unknown', why: member.doubt.why }, peerProblem);
  const theirs = runtime.peer.resource(member.settings.name)?.record ?? null;
  // This node's hast.conf may be ahead of its primary's, or behind.
  const isAsync = (primaryMode ?? member.settings.replication) === 'async';
  return isAsync && !mayLack && !wasLatestPrimary(record, theirs, runtime.node)
    ? { kind: 'unknown', why: 'replication is async and the group does not say allow-loss' }
    : freshness;
}

/** Who asks why nothing is known of this disk learns that the link is refused, too. */
function withProblem(freshness: Extract<Freshness, { kind: 'unknown' }>, problem: string | null): Freshness {
  return problem === null
    ? freshness
    : { kind: 'unknown', why: `${freshness.why}; the data link is refused: ${problem}` };
}

/** Who hands over has flushed both disks and says so in its record. */
function allowsLoss({ allowLoss }: GroupSettings, trigger: Trigger): boolean {
  return allowLoss || trigger.kind === 'handover';
}

/** Latest time that the peer was heard on each path, over all engines. ms */
export function heardOn(members: Iterable<Member>): Record<PathName, number | null> {
  const latest: Record<PathName, number | null> = { dataLink: null, peerChannel: null, adverts: null };
  for (const member of members) {
    for (const path of ['dataLink', 'peerChannel', 'adverts'] as const) {
      const at = member.lease.heardAt(path);
      if (Number.isFinite(at) && (latest[path] === null || at > latest[path])) latest[path] = at;
    }
  }
  return latest;
}

/** On any path, over all engines. ms; null: never */
export function latestHeard(members: Iterable<Member>): number | null {
  const heard = Object.values(heardOn(members)).flatMap((at) => at ?? []);
  return heard.length === 0 ? null : Math.max(...heard);
}

export interface ReferencesReached {
  readonly reached: number;
  /** Only what answered after this time, ms. */
  reachedSince(at: number): number;
}

export interface EvidenceSources {
  readonly group: GroupSettings;
  readonly members: readonly Member[];
  readonly allMembers: Iterable<Member>;
  readonly obstacles: readonly string[];
  readonly references: ReferencesReached;
  /** See Evidence. */
  readonly fencedAt: number | null;
  readonly trigger: Trigger;
}

export function gatherEvidence(runtime: Runtime, sources: EvidenceSources): Evidence {
  const { group, members, references } = sources;
  const evidence: Evidence = {
    now: runtime.clock.now(),
    self: runtime.node,
    peer: runtime.settings.peer?.name ?? null,
    peerKind: group.peerKind,
    trigger: sources.trigger,
    members: members.map((member) => memberEvidence(runtime, sources, member)),
    heardAt: heardOn(sources.allMembers),
    startedAt: runtime.startedAt,
    awakeSince: runtime.wake.since,
    certainDeathAt: runtime.peer.certainDeathAt,
    report: runtime.peer.report(group.name),
    references: { configured: runtime.settings.references.length, reached: references.reached },
    obstacles: sources.obstacles,
    released: members.some((member) => member.snapshot?.record.released === true),
    fencedAt: sources.fencedAt,
    hold: runtime.holds.of(group.name),
    bootWaitMs: group.bootWaitMs,
    policy: group.policy,
    timing: runtime.settings.timing,
  };
  const presence = peerPresence(evidence);
  if (presence !== 'silent' && presence !== 'dead') return evidence;
  const { configured } = evidence.references;
  const since = lastHeard(evidence) ?? evidence.startedAt;
  return { ...evidence, references: { configured, reached: references.reachedSince(since) } };
}

/** The records of a group's members, for a handover. */
export function recordsOf(members: readonly Member[]): HandoverMember[] {
  return members.map(({ settings, snapshot }) => ({
    resource: settings.name,
    record: snapshot?.record ?? null,
  }));
}
