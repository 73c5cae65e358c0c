/**
 * After a split-brain, by the policy that the configuration chose for the group: which node's copies are given up, if
 * any. Both nodes decide on the same facts and come to the same answer, whichever of the two asks. Pure.
 * @see SAFETY C1, D5
 */
import { compareHistories } from './record.ts';
import { type CopyFacts, splitBetween } from './resolve.ts';
import type { NodeName } from './roles.ts';

/** As DRBD's `after-sb-0pri`; a primary's copy is never given up. */
export type AfterSplit = 'disconnect' | 'discard-zero-changes' | 'discard-least-changes';

/** Both copies of one member of the group, in any order. */
export interface MemberCopies {
  readonly resource: string;
  readonly copies: readonly [CopyFacts, CopyFacts];
}

export type AfterSplitVerdict =
  /** Nothing is split, or nothing is decided yet. */
  | { readonly answer: 'none' }
  /** Both copies are kept until a person decides. */
  | { readonly answer: 'disconnect'; readonly why: string }
  | {
      readonly answer: 'discard';
      readonly keep: NodeName;
      readonly discard: NodeName;
      /** The members that are split. */
      readonly resources: readonly string[];
      readonly why: string;
    };

/** What holds any decision off for now. */
export interface AfterSplitNow {
  /** A takeover or a handover runs on a node, or could not be ended: the roles say nothing for certain. */
  readonly roleUnsure: boolean;
  /** Where an operator holds the group still. */
  readonly maintenance: readonly NodeName[];
}

interface Side {
  readonly node: NodeName;
  readonly primary: boolean;
  /** Bytes of the extents that are marked on that node, of all members: never less than what it wrote. */
  readonly bytes: number;
}

/** A group moves as one (C1): what is decided holds for every member that is split. */
export function judgeAfterSplit(
  policy: AfterSplit,
  members: readonly MemberCopies[],
  { roleUnsure, maintenance }: AfterSplitNow,
): AfterSplitVerdict {
  const disconnect = (why: string): AfterSplitVerdict => ({ answer: 'disconnect', why });
  const ordered = members.map(({ resource, copies }) => ({ resource, copies: byName(copies) }));
  const split = ordered.filter(({ copies }) => isSplit(copies));
  if (split.length === 0 || roleUnsure) return { answer: 'none' };
  if (maintenance.length > 0) return disconnect(`it is in maintenance on ${maintenance.join(' and ')}`);
  if (policy === 'disconnect') return disconnect('no policy was chosen');
  for (const { resource, copies } of ordered) {
    const why = unsure(resource, copies);
    if (why !== null) return disconnect(why);
  }
  const [one, other] = sides(ordered);
  const chosen = policy === 'discard-zero-changes' ? withoutChanges(one, other) : withLess(one, other);
  if ('why' in chosen) return disconnect(chosen.why);
  const { discard, keep } = chosen;
  const told = `at most ${discard.bytes} bytes were written on ${discard.node} and ${keep.bytes} on ${keep.node}`;
  if (discard.primary)
    return disconnect(
      `${told}, but ${discard.node} is primary, and what is served is not given up by a policy`,
    );
  for (const { resource, copies } of ordered) {
    if (isSplit(copies)) continue;
    const [given, kept] = copies[0].node === discard.node ? copies : [copies[1], copies[0]];
    if (isAhead(given, kept))
      return disconnect(
        `${resource} went on only on ${discard.node}, which would be given up for the others`,
      );
  }
  return {
    answer: 'discard',
    keep: keep.node,
    discard: discard.node,
    resources: split.map(({ resource }) => resource),
    why: told,
  };
}

function byName(copies: readonly [CopyFacts, CopyFacts]): readonly [CopyFacts, CopyFacts] {
  const [one, other] = copies;
  return one.node <= other.node ? [one, other] : [other, one];
}

function isSplit([{ record: one }, { record: other }]: readonly [CopyFacts, CopyFacts]): boolean {
  return one !== null && other !== null && splitBetween(one, other) !== null;
}

/** Why the numbers of this member say nothing for certain, or null. */
function unsure(resource: string, copies: readonly [CopyFacts, CopyFacts]): string | null {
  for (const { node, record, error, extentBytes, dataBytes } of copies) {
    if (error !== null) return `${resource} on ${node}: ${error}`;
    if (record === null || extentBytes === 0 || dataBytes === 0) return `${resource} on ${node} is not open`;
    if (record.state !== 'clean') return `${resource} on ${node} is ${record.state}`;
  }
  const [one, other] = copies;
  if (one.extentBytes !== other.extentBytes || one.dataBytes !== other.dataBytes)
    return `${resource}: the two disks have other sizes`;
  return null;
}

function sides(members: readonly MemberCopies[]): [Side, Side] {
  const side = (index: 0 | 1): Side => ({
    node: members[0]?.copies[index].node ?? '',
    primary: members.some(({ copies }) => copies[index].role === 'primary'),
    bytes: members.reduce(
      (sum, { copies }) => sum + copies[index].dirtyExtents * copies[index].extentBytes,
      0,
    ),
  });
  return [side(0), side(1)];
}

type Choice = { readonly discard: Side; readonly keep: Side } | { readonly why: string };

function withoutChanges(one: Side, other: Side): Choice {
  if (one.bytes === 0 && other.bytes === 0) return equalCopies(one, other);
  if (one.bytes === 0) return { discard: one, keep: other };
  if (other.bytes === 0) return { discard: other, keep: one };
  return {
    why: `both nodes may have written: up to ${one.bytes} bytes on ${one.node}, ${other.bytes} on ${other.node}`,
  };
}

function withLess(one: Side, other: Side): Choice {
  if (one.bytes === 0 && other.bytes === 0) return equalCopies(one, other);
  if (one.bytes === other.bytes)
    return { why: `as much may have been written on both nodes: ${one.bytes} bytes` };
  return one.bytes < other.bytes ? { discard: one, keep: other } : { discard: other, keep: one };
}

/** Nothing was written on either: the one that serves stays, else the first by name. */
function equalCopies(one: Side, other: Side): Choice {
  return other.primary ? { discard: one, keep: other } : { discard: other, keep: one };
}

function isAhead({ record: one }: CopyFacts, { record: other }: CopyFacts): boolean {
  if (one === null || other === null) return true;
  const relation = compareHistories(one.generations, other.generations);
  return relation !== 'same' && relation !== 'weAreBehind';
}
