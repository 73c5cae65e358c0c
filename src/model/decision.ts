/**
 * Decides whether this node may become primary for a whole group.
 * Pure: same evidence, same verdict; every reason names what would change it.
 * @see SAFETY B1-B8, D1, D4, D5, E1, F
 */
import type { Evidence, MemberEvidence } from './evidence.ts';
import { compareEpochs, type Epoch, NO_EPOCH } from './record.ts';
import { PATHS } from './roles.ts';
import type { Reason, Verdict } from './verdict.ts';

interface Findings {
  readonly refusals: Reason[];
  readonly waits: { readonly reason: Reason; readonly retryInMs: number | null }[];
  readonly grounds: Reason[];
  next: string | null;
}

export function mayPromote(evidence: Evidence): Verdict {
  const found: Findings = { refusals: [], waits: [], grounds: [], next: null };
  judgeMachine(evidence, found);
  judgeTrigger(evidence, found);
  judgeEpoch(evidence, found);
  judgePeer(evidence, found);
  // Of a disk that cannot be read nothing else is known.
  for (const member of evidence.members) {
    if (member.diskError === null) judgeMember(evidence, member, found);
  }
  judgeReferences(evidence, found);
  if (found.refusals.length > 0) {
    return {
      answer: 'refuse',
      reasons: [...found.refusals, ...found.waits.map((w) => w.reason)],
      retryInMs: null,
      next: found.next,
    };
  }
  if (found.waits.length > 0) {
    const retries = found.waits.flatMap((w) => (w.retryInMs === null ? [] : [w.retryInMs]));
    return {
      answer: 'wait',
      reasons: found.waits.map((w) => w.reason),
      retryInMs: retries.length === 0 ? null : Math.max(...retries),
      next: found.next,
    };
  }
  return { answer: 'promote', reasons: found.grounds, retryInMs: null, next: null };
}

/** The highest epoch of the group's members: a torn group update is repaired above it. */
export function groupEpoch(members: readonly MemberEvidence[]): Epoch {
  return members.reduce((highest, m) => (m.epoch.number > highest.number ? m.epoch : highest), NO_EPOCH);
}

/** When the peer was last heard on any path, or null. ms. */
export function lastHeard(evidence: Evidence): number | null {
  return PATHS.reduce<number | null>((latest, path) => {
    const at = evidence.heardAt[path];
    return at !== null && (latest === null || at > latest) ? at : latest;
  }, null);
}

export type PeerPresence = 'none' | 'alive' | 'silent' | 'dead' | 'fenced';

/** What the silence of the peer amounts to now. @see SAFETY D, B6 */
export function peerPresence(evidence: Evidence): PeerPresence {
  if (evidence.peer === null) return 'none';
  const heard = lastHeard(evidence);
  if (evidence.fencedAt !== null && evidence.fencedAt >= (heard ?? 0)) return 'fenced';
  if (evidence.certainDeathAt !== null && evidence.certainDeathAt >= (heard ?? 0)) return 'dead';
  return evidence.now - silentSince(evidence) >= evidence.timing.promotionDelayMs ? 'silent' : 'alive';
}

/** From when on the peer's silence counts: not from before we ran, nor from while we stood still. */
function silentSince(evidence: Evidence): number {
  return Math.max(lastHeard(evidence) ?? evidence.startedAt, evidence.startedAt, evidence.awakeSince);
}

function forced(evidence: Evidence): boolean {
  return evidence.trigger.kind === 'operator' && evidence.trigger.force;
}

function refuse(found: Findings, rule: string, code: string, text: string, next?: string): void {
  found.refusals.push({ rule, code, text });
  if (next !== undefined) found.next ??= next;
}

function wait(
  found: Findings,
  rule: string,
  code: string,
  text: string,
  retryInMs: number | null = null,
  next?: string,
): void {
  found.waits.push({ reason: { rule, code, text }, retryInMs });
  if (next !== undefined) found.next ??= next;
}

function judgeMachine(evidence: Evidence, found: Findings): void {
  if (evidence.members.length === 0)
    refuse(found, 'C1', 'no-members', 'the group has no resources: name some in hastate.yaml');
  for (const obstacle of evidence.obstacles) {
    refuse(found, 'D1', 'obstacle', `${obstacle}: remove it, then the group is tried again`);
  }
  for (const member of evidence.members) {
    if (member.diskError === null) continue;
    refuse(
      found,
      'C1',
      'disk-error',
      `${member.resource}: ${member.diskError}; a group moves as one, so repair this disk first`,
    );
  }
}

function judgeTrigger(evidence: Evidence, found: Findings): void {
  const { trigger } = evidence;
  if (trigger.kind === 'operator') {
    if (trigger.force && (trigger.reason ?? '').trim() === '') {
      refuse(
        found,
        'B2',
        'force-needs-reason',
        'force was given without a reason: add --reason TEXT, it is kept in the journal',
      );
    }
    found.grounds.push({ rule: 'B1', code: 'operator', text: 'an operator asked for it' });
    return;
  }
  if (trigger.kind === 'handover') {
    found.grounds.push({
      rule: 'B5',
      code: 'handover',
      text: `${evidence.peer ?? 'the peer'} stopped writing and handed over`,
    });
    return;
  }
  if (evidence.peerKind === 'hastd' && evidence.fencedAt === null) {
    wait(
      found,
      'E1',
      'peer-is-hastd',
      'the peer is a plain hastd and tells no epoch or freshness: only an operator or a fence may promote',
      null,
      'hastate promote GROUP --force --reason TEXT',
    );
  }
  if (evidence.policy === 'manual') {
    wait(found, 'F', 'policy-manual', 'policy is manual: a person says go', null, 'hastate promote GROUP');
  }
  if (
    evidence.policy === 'consistent' &&
    evidence.fencedAt === null &&
    !consents(evidence) &&
    evidence.peer !== null
  ) {
    wait(
      found,
      'F',
      'policy-consistent',
      'policy is consistent: a fence hook has to confirm first that the peer is down',
    );
  }
}

function judgeEpoch(evidence: Evidence, found: Findings): void {
  if (evidence.released && !forced(evidence)) {
    refuse(
      found,
      'D4',
      'released',
      `this node handed its epoch over and has not met its successor: connect it with ${evidence.peer ?? 'the peer'} once`,
      'hastate promote GROUP --force --reason TEXT (only when the other node is certainly lost)',
    );
  }
  if (evidence.report === null) return;
  const own = groupEpoch(evidence.members);
  const order = compareEpochs(own, evidence.report.epoch);
  if (order === 'clash') {
    refuse(
      found,
      'D5',
      'split-brain',
      `both nodes were primary in epoch ${own.number} (ids ${own.id} and ${evidence.report.epoch.id}): decide which copy to keep`,
      'stop hastated on the node whose copy is to be discarded, run hastate create --force there, start it again',
    );
  } else if (order === 'newer' && !forced(evidence)) {
    refuse(
      found,
      'A5',
      'peer-epoch-newer',
      `${evidence.peer ?? 'the peer'} knows epoch ${evidence.report.epoch.number}, this node only ${own.number}: its data is newer, let it be primary`,
    );
  }
}

function consents(evidence: Evidence): boolean {
  return (
    evidence.report?.consentUntil !== null &&
    evidence.report !== null &&
    evidence.report.consentUntil > evidence.now
  );
}

function judgePeer(evidence: Evidence, found: Findings): void {
  const peer = evidence.peer ?? 'the peer';
  switch (peerPresence(evidence)) {
    case 'none':
      found.grounds.push({ rule: 'B5', code: 'no-peer', text: 'there is no other node' });
      return;
    case 'fenced':
      found.grounds.push({ rule: 'F', code: 'fenced', text: `${peer} was fenced after its last message` });
      return;
    case 'dead':
      found.grounds.push({
        rule: 'B6',
        code: 'certain-death',
        text: `${peer}'s daemon ended: its channel was reset and its host refuses a new one`,
      });
      return;
    case 'silent':
      found.grounds.push({
        rule: 'B3',
        code: 'silent',
        text: `${peer} is silent on every path for ${silence(evidence)}`,
      });
      return;
    case 'alive':
      judgeLivingPeer(evidence, found, peer);
  }
}

function silence(evidence: Evidence): string {
  const heard = lastHeard(evidence);
  return heard === null ? 'as long as this daemon runs' : `${Math.round(evidence.now - heard)} ms`;
}

function judgeLivingPeer(evidence: Evidence, found: Findings, peer: string): void {
  const { report, trigger, timing, now } = evidence;
  const untilSilent = Math.max(1, Math.ceil(timing.promotionDelayMs - (now - silentSince(evidence))));
  if (trigger.kind === 'handover') return;
  if (report === null) {
    wait(
      found,
      'B5',
      'peer-role-unknown',
      `${peer} may be alive and has not said yet what it is: wait for its report or for ${timing.promotionDelayMs} ms of silence`,
      untilSilent,
    );
  } else if (report.primary && report.healthy) {
    wait(
      found,
      'B5',
      'peer-is-primary',
      `${peer} is primary and healthy: ask it to hand over`,
      untilSilent,
      `hastate switchover GROUP --to ${evidence.self}`,
    );
  } else if (report.primary) {
    wait(
      found,
      'B5',
      'peer-unhealthy',
      `${peer} is primary and unhealthy: it is asked to hand over first`,
      untilSilent,
      `hastate switchover GROUP --to ${evidence.self}`,
    );
  } else if (report.changing && !consents(evidence)) {
    wait(
      found,
      'B5',
      'peer-changing',
      `${peer} is just changing its role: wait for the outcome`,
      untilSilent,
    );
  } else if (!consents(evidence)) {
    wait(
      found,
      'B5',
      'needs-consent',
      `${peer} is alive: it must agree that this node becomes primary`,
      untilSilent,
    );
  } else {
    found.grounds.push({ rule: 'B5', code: 'consent', text: `${peer} is not primary and agrees` });
  }
}

function judgeMember(evidence: Evidence, member: MemberEvidence, found: Findings): void {
  const name = member.resource;
  if (member.soleOwner) {
    found.grounds.push({
      rule: 'B4',
      code: 'sole-owner',
      text: `${name}: the record says that only this node has the data`,
    });
    return;
  }
  if (member.state === 'virgin') {
    judgeVirgin(evidence, member, found);
    return;
  }
  if (member.freshness.kind === 'inSync') {
    judgeLinkLoss(evidence, member, found);
    return;
  }
  if (forced(evidence)) {
    found.grounds.push({
      rule: 'B2',
      code: 'forced',
      text: `${name} is ${describe(member)}, and an operator forced it`,
    });
    return;
  }
  const rule = member.freshness.kind === 'unknown' ? 'B4' : 'B2';
  refuse(
    found,
    rule,
    `member-${member.freshness.kind}`,
    `${name} is ${describe(member)}: let it resync from ${evidence.peer ?? 'the peer'}`,
    'hastate promote GROUP --force --reason TEXT (accepts the loss of what is missing here)',
  );
}

function describe(member: MemberEvidence): string {
  switch (member.freshness.kind) {
    case 'behind':
      return `behind by ${member.freshness.extents} extents`;
    case 'unknown':
      return `of unknown freshness (${member.freshness.why})`;
    case 'inconsistent':
      return 'inconsistent (a resync stopped half way)';
    case 'outdated':
      return 'outdated';
    case 'inSync':
      return 'in sync';
  }
}

function judgeVirgin(evidence: Evidence, member: MemberEvidence, found: Findings): void {
  const peerIsVirgin = evidence.report?.virgin === true && peerPresence(evidence) === 'alive';
  if (evidence.peer === null || evidence.trigger.kind === 'operator' || peerIsVirgin) {
    found.grounds.push({
      rule: 'B4',
      code: 'virgin',
      text: `${member.resource} is new here${peerIsVirgin ? ' and on the peer' : ''}`,
    });
    return;
  }
  refuse(
    found,
    'B4',
    'virgin-alone',
    `${member.resource} was never used and the peer's copy cannot be seen: start the other node, or promote by hand`,
    'hastate promote GROUP',
  );
}

function judgeLinkLoss(evidence: Evidence, member: MemberEvidence, found: Findings): void {
  const { dataLinkDownAt } = member;
  const heard = lastHeard(evidence);
  const heardLater =
    dataLinkDownAt !== null && heard !== null && heard > dataLinkDownAt + evidence.timing.holdMs;
  // Who is not primary and has the same history on record did not go on alone; one who hands over sends its record.
  const didNotGoOn =
    evidence.trigger.kind === 'handover' ||
    (evidence.report?.primary === false && member.peerAgrees === true);
  if (heardLater && !didNotGoOn && !forced(evidence)) {
    refuse(
      found,
      'B3',
      'heard-after-link-loss',
      `${member.resource}: the data link died and ${evidence.peer ?? 'the peer'} was still heard ${Math.round(heard - dataLinkDownAt)} ms later: it may have gone on alone`,
      'hastate promote GROUP --force --reason TEXT (accepts the loss of what is missing here)',
    );
    return;
  }
  found.grounds.push({ rule: 'B2', code: 'in-sync', text: `${member.resource} is in sync` });
}

function judgeReferences(evidence: Evidence, found: Findings): void {
  const { configured, reached } = evidence.references;
  if (configured === 0 || reached * 2 > configured || forced(evidence)) return;
  wait(
    found,
    'B8',
    'references-lost',
    `only ${reached} of ${configured} references answer: this node may be the one that is cut off`,
    evidence.timing.heartbeatMs,
  );
}
