/**
 * Decides whether this node may become primary for a whole group.
 * Pure: same evidence, same verdict; every reason names what would change it.
 * @see SAFETY B1-B8, D1, D4, D5, E1, F
 */
import type { Evidence, MemberEvidence } from './evidence.ts';
import { type Findings, refuse, wait } from './findings.ts';
import { forced, judgeMember } from './member-decision.ts';
import { lastHeard, peerPresence, silentSince } from './presence.ts';
import { compareEpochs, type Epoch, NO_EPOCH } from './record.ts';
import type { Verdict } from './verdict.ts';

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
    if (evidence.hold?.code === 'standby') {
      refuse(found, 'F', 'standby', evidence.hold.text, evidence.hold.next);
    }
    found.grounds.push({
      rule: 'B5',
      code: 'handover',
      text: `${evidence.peer ?? 'the peer'} stopped writing and handed over`,
    });
    return;
  }
  if (evidence.hold !== null) {
    const { code, text, next } = evidence.hold;
    wait(found, 'F', code, text, null, next);
  }
  judgeBootWait(evidence, found);
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
    evidence.peer !== null &&
    // One that lives is asked.
    peerPresence(evidence) !== 'alive'
  ) {
    wait(
      found,
      'F',
      'policy-consistent',
      'policy is consistent: a fence hook has to confirm first that the peer is down',
      null,
      `hastate fence ${evidence.peer} --confirm-down --reason TEXT (only when it is certainly off)`,
    );
  }
}

/** Both nodes come back after a power cut: who is a little earlier need not lead alone. */
function judgeBootWait({ bootWaitMs, startedAt, now, ...evidence }: Evidence, found: Findings): void {
  const left = startedAt + bootWaitMs - now;
  if (left <= 0 || evidence.peer === null || evidence.report !== null) return;
  wait(
    found,
    'B4',
    'boot-wait',
    `this daemon has just started and waits ${Math.ceil(left / 1000)} s more for ${evidence.peer}`,
    Math.ceil(left),
    'hastate promote GROUP',
  );
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
      'hastate resolve RESOURCE --discard NODE --dry-run',
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
