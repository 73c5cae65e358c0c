/**
 * What one member's disk says to a promotion. Pure.
 * @see SAFETY B2-B4, D5, E1
 */
import type { Evidence, MemberEvidence } from './evidence.ts';
import { type Findings, refuse, wait } from './findings.ts';
import { lastHeard, peerPresence } from './presence.ts';

export function forced(evidence: Evidence): boolean {
  return evidence.trigger.kind === 'operator' && evidence.trigger.force;
}

/**
 * The members may be promoted although what they have is not known to be all: forced (B2), or on
 * the word of an operator beside a plain hastd, which never tells what a copy is worth (E1).
 */
export function operatorVouches(evidence: Evidence): boolean {
  return forced(evidence) || besideHastd(evidence);
}

function besideHastd({ trigger, peerKind }: Evidence): boolean {
  return trigger.kind === 'operator' && peerKind === 'hastd';
}

export function judgeMember(evidence: Evidence, member: MemberEvidence, found: Findings): void {
  const name = member.resource;
  if (besideHastd(evidence) && member.dataLinkUp && !forced(evidence)) {
    wait(
      found,
      'E1',
      'primary-connected',
      `${name} is connected to its primary: give that one role secondary or init first`,
    );
    return;
  }
  if (member.wentApart && !forced(evidence)) {
    refuse(
      found,
      'D5',
      'split-brain',
      `${name} of this node and that of ${evidence.peer ?? 'the peer'} went on apart, and each lacks what the other acknowledged: decide which copy to keep`,
      `hastate resolve ${name} --discard NODE --dry-run`,
    );
    return;
  }
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
  if (followedHastd(evidence, member)) {
    found.grounds.push({
      rule: 'E1',
      code: 'operator-vouches',
      text: `${name} followed its primary until the connection ended, and an operator vouches for it`,
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

/**
 * E1: it followed a plain hastd in this life of the daemon, until the connection ended. Only an
 * operator can say whether such a copy is whole.
 */
function followedHastd(evidence: Evidence, { freshness, dataLinkDownAt }: MemberEvidence): boolean {
  const untold = freshness.kind === 'unknown' || freshness.kind === 'outdated';
  return besideHastd(evidence) && untold && dataLinkDownAt !== null;
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
