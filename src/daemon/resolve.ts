/**
 * `hastate resolve`: after a split-brain one copy is given up on an operator's word. Asked on either
 * node; what concerns the other one goes over the peer channel.
 * @see SAFETY D5, src/model/resolve.ts
 */
import type { AfterSplit } from '../model/after-split.ts';
import { describeError, HastateError, NetError } from '../model/errors.ts';
import { compareEpochs } from '../model/record.ts';
import {
  type CopyFacts,
  judgeResolve,
  notKnown,
  type ResolveQuestion,
  resolvePlan,
} from '../model/resolve.ts';
import type { ResolveResult } from '../protocol/control.ts';
import type { PeerMethod } from '../protocol/peer-message.ts';
import { readCopyFacts, readResolveRequest } from '../protocol/resolve-message.ts';
import type { JudgedCopy, ResolveRequest, ResolveStep } from '../protocol/resolve-message.ts';
import type { Group } from './bind/group.ts';
import type { Member } from './bind/members.ts';
import { compareMarks, marksOf } from './marks.ts';
import type { Runtime } from './runtime.ts';

const LOOK_MS = 5000;
const REFRESH_MS = 1000;
const DEMOTE_MS = 60_000;
/** A demotion and a write of the whole activemap, on the other node. */
const DISCARD_MS = 90_000;
/** How long an order that was announced holds other orders off. */
const KEPT_MS = DISCARD_MS + LOOK_MS;

export interface ResolvePorts {
  readonly runtime: Runtime;
  readonly sources: {
    readonly members: ReadonlyMap<string, Member>;
    readonly groups: ReadonlyMap<string, Group>;
  };
  /** @throws NetError */
  askPeer(method: PeerMethod, params: Record<string, unknown>, timeoutMs: number): Promise<unknown>;
}

/** `policy`: the group's `after-split` decided it, and not a person. */
export interface ResolveOrder {
  readonly resource: string;
  /** Node whose copy is to be given up. */
  readonly discard: string;
  readonly dryRun: boolean;
  /** Take its group down there first, when it is primary. */
  readonly demote: boolean;
  readonly policy?: AfterSplit;
}

/**
 * A refusal is a result; what else stops it is an error, and then nothing was given up unless it says so.
 * @throws HastateError `unknown-resource`, `no-peer`, `unknown-node`, `peer-unreachable`, `resolve-unknown`
 */
export async function resolveSplit(ports: ResolvePorts, order: ResolveOrder): Promise<ResolveResult> {
  const { runtime } = ports;
  const { resource, discard, dryRun, demote } = order;
  findMember(ports, resource);
  const peer = runtime.settings.peer?.name ?? null;
  if (peer === null)
    throw new HastateError(
      'no-peer',
      `hastate.yaml names no other node, so its copy cannot be judged: beside a plain hastd, run 'hastate role init ${resource}', 'hastate create --force ${resource}', 'hastate role secondary ${resource}' on the node whose copy is to be discarded`,
    );
  if (discard !== runtime.node && discard !== peer)
    throw new HastateError('unknown-node', `there is no node '${discard}': it is ${runtime.node} or ${peer}`);
  const keep = discard === peer ? runtime.node : peer;
  const theirs = await lookAtPeer(ports, resource, peer);
  const ours = await look(ports, resource);
  const [kept, given] = keep === peer ? [theirs, ours] : [ours, theirs];
  const question: ResolveQuestion = { resource, keep: kept, discard: given, demote };
  const verdict = judgeResolve(question);
  const base = { resource, keep: kept, discard: given, dryRun, verdict };
  if (verdict.answer === 'refuse' || given.record === null)
    return { ...base, divergence: null, plan: [], notKnown: [], done: false, notes: [] };
  const differ = dryRun ? await compareMarks(ports, findMember(ports, resource), kept, given) : null;
  const told = { plan: resolvePlan(question), notKnown: notKnown(question, differ), divergence: differ };
  const found = { ...base, ...told };
  if (dryRun) return { ...found, done: false, notes: [] };
  const { epoch, generations } = given.record;
  const judged = { epoch, generation: generations.current };
  return { ...found, done: true, notes: await carryOut(ports, order, keep, judged) };
}

/** @returns what did not go as planned after the copy was given up */
async function carryOut(
  ports: ResolvePorts,
  { resource, discard, demote, policy }: ResolveOrder,
  keep: string,
  judged: JudgedCopy,
): Promise<string[]> {
  const at = (node: string, step: ResolveStep, timeoutMs: number): Promise<unknown> =>
    node === ports.runtime.node
      ? perform(ports, { ...step, resource })
      : ports.askPeer('resolve', { ...step, resource }, timeoutMs);
  for (const node of [keep, discard])
    await at(node, { step: 'announce', discard, demote, policy: policy ?? null }, LOOK_MS);
  try {
    await at(discard, { step: 'discard', judged, demote }, DISCARD_MS);
  } catch (cause) {
    if (!(cause instanceof NetError) || cause.code === 'peer-refused') {
      // The order is over: it holds no other one off.
      if (keep === ports.runtime.node) findMember(ports, resource).keptUntil = Number.NEGATIVE_INFINITY;
      throw cause;
    }
    throw new HastateError(
      'resolve-unknown',
      `whether ${discard} gave its copy of ${resource} up is not known (${cause.message}): ask 'hastate resolve ${resource} --discard ${discard} --dry-run'`,
      { cause },
    );
  }
  try {
    await at(keep, { step: 'kept' }, LOOK_MS);
    return [];
  } catch (cause) {
    return [`${keep} could not be told that it has the only copy: ${describeError(cause)}`];
  }
}

/** Does what the other node asks for. @throws WireError, HastateError; the peer channel tells them */
export function answerResolve(
  ports: ResolvePorts,
  params: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  return perform(ports, readResolveRequest(params));
}

async function perform(ports: ResolvePorts, request: ResolveRequest): Promise<unknown> {
  const { resource } = request;
  const member = findMember(ports, resource);
  const note = (message: string): void => {
    ports.runtime.journal.add({ kind: 'operator.resolve', level: 'warn', resource, message });
  };
  switch (request.step) {
    case 'look':
      return look(ports, resource);
    case 'marks':
      return marksOf(member, request.from);
    case 'announce': {
      const { discard, demote, policy } = request;
      if (policy !== null) checkPolicy(ports, resource, policy);
      if (discard !== ports.runtime.node) member.keptUntil = ports.runtime.clock.now() + KEPT_MS;
      const who = policy === null ? 'an operator asks' : `'after-split: ${policy}' decides`;
      note(`${who}: hastate resolve ${resource} --discard ${discard}${demote ? ' --demote' : ''}`);
      return {};
    }
    case 'discard':
      await giveUp(ports, member, request.judged, request.demote);
      note(`${resource}: the copy on ${ports.runtime.node} is given up; it will be copied in full`);
      return {};
    case 'kept':
      // What the other node wrote alone is given up, so this copy lacks nothing of it.
      member.doubt = null;
      member.keptUntil = Number.NEGATIVE_INFINITY;
      member.givenUpThere = ports.runtime.peer.resource(resource)?.record.generations.current ?? null;
      note(`${resource}: the copy on ${ports.runtime.node} is kept; the other one is given up`);
      return {};
  }
}

async function giveUp(
  ports: ResolvePorts,
  member: Member,
  { epoch, generation }: JudgedCopy,
  demote: boolean,
): Promise<void> {
  const { name } = member.settings;
  if (member.keptUntil > ports.runtime.clock.now()) {
    throw new HastateError(
      'copy-kept',
      `${name}: another order to resolve it keeps the copy on ${ports.runtime.node}: nothing was discarded, agree on one of them`,
    );
  }
  const unchanged = (): boolean => {
    const record = member.snapshot?.record;
    return (
      record !== undefined &&
      compareEpochs(record.epoch, epoch) === 'same' &&
      record.generations.current === generation
    );
  };
  const check = (): void => {
    if (unchanged()) return;
    throw new HastateError(
      'copy-changed',
      `${name}: the copy on ${ports.runtime.node} is not the one that was judged any more: nothing was discarded, look again with --dry-run`,
    );
  };
  check();
  if (demote && member.snapshot?.role === 'primary') await groupOf(ports, name)?.beSecondary(DEMOTE_MS);
  check();
  await member.command({ type: 'discard' });
}

/** @throws HastateError `peer-unreachable`, NetError */
export async function lookAtPeer(ports: ResolvePorts, resource: string, peer: string): Promise<CopyFacts> {
  try {
    return readCopyFacts(await ports.askPeer('resolve', { step: 'look', resource }, LOOK_MS));
  } catch (cause) {
    if (!(cause instanceof NetError) || cause.code === 'peer-refused') throw cause;
    throw new HastateError(
      'peer-unreachable',
      `${peer} cannot be asked for its copy of ${resource}, so whether there is a split-brain is not known and nothing was discarded (${cause.message}): start hastated on ${peer} and mend the peer channel, then ask again`,
      { cause },
    );
  }
}

/** What this node tells of its copy. */
export async function look(ports: ResolvePorts, resource: string): Promise<CopyFacts> {
  const member = findMember(ports, resource);
  await member.refresh(REFRESH_MS);
  const { snapshot, error } = member;
  const extentBytes = snapshot?.extentsize ?? 0;
  const dirtyBytes = snapshot?.dirtyBytes ?? 0;
  return {
    node: ports.runtime.node,
    role: snapshot?.role ?? 'init',
    group: groupOf(ports, resource)?.settings.name ?? resource,
    record: snapshot?.record ?? null,
    error: error ?? snapshot?.diskError ?? null,
    dirtyExtents: extentBytes === 0 ? 0 : Math.ceil(dirtyBytes / extentBytes),
    dirtyBytes,
    extentBytes,
    dataBytes: snapshot?.datasize ?? 0,
  };
}

/** What one node's configuration decides is done only where the other one's says the same. */
function checkPolicy(ports: ResolvePorts, resource: string, policy: AfterSplit): void {
  const ours = groupOf(ports, resource)?.settings.afterSplit ?? 'disconnect';
  if (ours === policy) return;
  throw new HastateError(
    'policy-differs',
    `${resource}: nothing was discarded: 'after-split' is ${policy} on one node and ${ours} on ${ports.runtime.node}: make hastate.yaml the same on both and reload`,
  );
}

function groupOf({ sources }: ResolvePorts, resource: string): Group | null {
  return [...sources.groups.values()].find(({ settings }) => settings.resources.includes(resource)) ?? null;
}

function findMember({ runtime, sources }: ResolvePorts, resource: string): Member {
  const member = sources.members.get(resource);
  if (member !== undefined) return member;
  throw new HastateError(
    'unknown-resource',
    `there is no resource '${resource}' in hast.conf of ${runtime.node}`,
  );
}
