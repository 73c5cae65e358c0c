/**
 * After a split-brain: may one of the two copies be given up on an operator's word, what is known of
 * what that loses, and what will be done. Pure.
 * @see SAFETY D5
 */
import type { Divergence } from './divergence.ts';
import { compareEpochs, compareHistories } from './record.ts';
import type { ResourceRecord } from './record.ts';
import type { HastRole, NodeName } from './roles.ts';
import type { Reason } from './verdict.ts';

/** One node's copy of the resource, as that node tells it. */
export interface CopyFacts {
  readonly node: NodeName;
  readonly role: HastRole;
  /** What goes down with the resource: its group, or the resource itself. */
  readonly group: string;
  /** Null while the disk is not open. */
  readonly record: ResourceRecord | null;
  /** Why the disk cannot be used, or null. */
  readonly error: string | null;
  /** Extents marked in this node's activemap: what it wrote since the nodes went apart is among them. */
  readonly dirtyExtents: number;
  readonly dirtyBytes: number;
  readonly extentBytes: number;
  readonly dataBytes: number;
}

export interface ResolveQuestion {
  readonly resource: string;
  /** The copy that the operator keeps, and the one to give up. */
  readonly keep: CopyFacts;
  readonly discard: CopyFacts;
  /** The operator's word that the group may be taken down where the copy is given up. */
  readonly demote: boolean;
}

export interface ResolveVerdict {
  readonly answer: 'discard' | 'refuse';
  readonly reasons: readonly Reason[];
  /** The safe next command, or null. */
  readonly next: string | null;
}

/** How two records show that both nodes wrote apart from each other, or null when they do not. */
export function splitBetween(one: ResourceRecord, other: ResourceRecord): string | null {
  if (compareEpochs(one.epoch, other.epoch) === 'clash')
    return `both nodes were primary in epoch ${one.epoch.number} (ids ${one.epoch.id} and ${other.epoch.id})`;
  if (compareHistories(one.generations, other.generations) === 'diverged')
    return `both copies went on from generation ${one.generations.previous}, each in its own way`;
  return null;
}

/** Every refusal that applies; nothing is given up while there is one. */
export function judgeResolve({ resource, keep, discard, demote }: ResolveQuestion): ResolveVerdict {
  const disks = [keep, discard].flatMap((copy) => unusable(resource, copy));
  if (keep.record === null || discard.record === null || disks.length > 0)
    return { answer: 'refuse', reasons: disks, next: 'hastate status (on both nodes)' };
  const split = splitBetween(keep.record, discard.record);
  if (split === null) return noSplit(resource, keep.node, keep.record, discard.node, discard.record);
  const command = `hastate resolve ${resource} --discard`;
  if (keep.record.state === 'inconsistent') {
    const text = `${keep.node} was the target of a resync that stopped half way: without ${discard.node} there would be no whole copy`;
    const reasons = [{ rule: 'D5', code: 'keeper-inconsistent', text }];
    return { answer: 'refuse', reasons, next: `${command} ${keep.node} --dry-run` };
  }
  if (discard.role === 'primary' && !demote) {
    const text = `${discard.node} is primary of ${discard.group} and serves the copy that is to be given up: what uses it there has to end first`;
    const reasons = [{ rule: 'D5', code: 'discard-is-primary', text }];
    return {
      answer: 'refuse',
      reasons,
      next: `${command} ${discard.node} --demote (takes ${discard.group} down there first)`,
    };
  }
  return { answer: 'discard', reasons: [{ rule: 'D5', code: 'split-brain', text: split }], next: null };
}

function unusable(resource: string, { node, record, error }: CopyFacts): Reason[] {
  const why = error ?? (record === null ? 'the disk is not open' : null);
  if (why === null) return [];
  return [{ rule: 'D5', code: 'disk-unusable', text: `${resource} on ${node}: ${why}: repair that first` }];
}

function noSplit(
  resource: string,
  keep: NodeName,
  kept: ResourceRecord,
  discard: NodeName,
  given: ResourceRecord,
): ResolveVerdict {
  const refuse = (code: string, text: string, next: string | null): ResolveVerdict => ({
    answer: 'refuse',
    reasons: [{ rule: 'D5', code, text: `${resource}: ${text}: nothing is discarded` }],
    next,
  });
  const byItself = (behind: NodeName, ahead: NodeName): ResolveVerdict =>
    refuse(
      'no-split-brain',
      `there is no split-brain: ${behind} only lacks what ${ahead} wrote since, and is resynced by itself`,
      null,
    );
  switch (compareHistories(kept.generations, given.generations)) {
    case 'theyAreBehind':
      return byItself(discard, keep);
    case 'weAreBehind':
      return byItself(keep, discard);
    case 'theyAreVirgin':
    case 'weAreVirgin':
    case 'bothVirgin':
      return refuse(
        'no-split-brain',
        'there is no split-brain: a copy without a history is made whole by itself',
        null,
      );
    case 'unrelated':
      return refuse(
        'no-common-history',
        'the two copies have no history in common, so they are no two ways of one disk',
        `hastate role init ${resource}, hastate create --force ${resource} (on the node whose disk is to be overwritten)`,
      );
    default:
      return refuse('no-split-brain', 'there is no split-brain: both copies have the same history', null);
  }
}

/** What is done, in order, a sentence each. */
export function resolvePlan({ resource, keep, discard }: ResolveQuestion): string[] {
  const down = `${discard.node}: take ${discard.group} down in order (services, address, device of every member)`;
  return [
    ...(discard.role === 'primary' ? [down] : []),
    `${discard.node}: record durably that its copy of ${resource} is given up, no candidate for primary until it is whole again`,
    `${keep.node}: keep its copy and its history`,
    keep.role === 'primary'
      ? `${keep.node}: connect and copy all ${keep.dataBytes} bytes to ${discard.node}`
      : `${keep.node}: once it is primary (by its policy, or 'hastate promote ${keep.group}'), copy all ${keep.dataBytes} bytes to ${discard.node}`,
  ];
}

/** What the numbers of both sides do not tell, a sentence each. */
export function notKnown({ keep, discard }: ResolveQuestion, maps: Divergence | null): string[] {
  return [
    'extents of each side are an upper bound: a bit may be left over from a write that both disks have',
    ...(maps === null ? [uncompared(keep, discard)] : []),
    'when each write was made, and to which file or table it belongs',
  ];
}

function uncompared(keep: CopyFacts, discard: CopyFacts): string {
  const [less, more] = [keep.dirtyExtents, discard.dirtyExtents].sort((a, b) => a - b);
  return `the activemaps are not compared, so the copies differ in at most ${(less ?? 0) + (more ?? 0)} extents, and in how many of them both wrote is not known`;
}
