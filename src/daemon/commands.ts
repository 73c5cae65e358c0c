/** What an operator can ask of this node over the control socket. Each command is one function. */
import { HastateError } from '../model/errors.ts';
import type { Trigger } from '../model/evidence.ts';
import type { Verdict } from '../model/verdict.ts';
import type { ControlRequest, JournalEvent, SwitchoverResult, WhyNotResult } from '../protocol/control.ts';
import type { Group } from './bind/group.ts';
import { holdsOff } from './bind/group-phase.ts';
import { type StatusSources, nodeStatus } from './status.ts';
import type { Runtime } from './runtime.ts';

const CHANGE_MS = 60_000;
const PEER_POLL_MS = 10;

export interface CommandContext {
  readonly runtime: Runtime;
  readonly sources: StatusSources;
  /** The group that a resource moves with. */
  groupOf(resource: string): Group | null;
  askPeerToSwitch(group: string): Promise<unknown>;
  stop(): void;
}

type Push = (event: JournalEvent) => void;
type Handler = (
  context: CommandContext,
  args: Readonly<Record<string, unknown>>,
  push: Push,
  signal: AbortSignal,
) => Promise<unknown>;

function text(args: Readonly<Record<string, unknown>>, name: string): string {
  const value = args[name];
  if (typeof value !== 'string' || value === '')
    throw new HastateError('bad-argument', `argument '${name}' is missing: it has to be a word`);
  return value;
}

function findGroup(context: CommandContext, name: string): Group {
  const group = context.sources.groups.get(name);
  if (group !== undefined) return group;
  const known = [...context.sources.groups.keys()].join(', ');
  throw new HastateError(
    'unknown-group',
    `there is no group '${name}'; hastate.yaml has: ${known === '' ? 'none' : known}`,
  );
}

const handlers: Record<ControlRequest['command'], Handler> = {
  status: (context) => Promise.resolve(nodeStatus(context.runtime, context.sources)),
  groups(context, args) {
    if (args['clearHold'] !== undefined) findGroup(context, text(args, 'clearHold')).address?.clearHold();
    return Promise.resolve(nodeStatus(context.runtime, context.sources).groups);
  },

  async role(context, args) {
    const role = text(args, 'role');
    const names = Array.isArray(args['resources']) ? args['resources'].map(String) : [];
    const wanted = names.includes('all') || names.length === 0 ? [...context.sources.members.keys()] : names;
    const results: { resource: string; error: string | null; code: string | null }[] = [];
    for (const resource of wanted) {
      const group = context.groupOf(resource);
      if (group === null) {
        results.push({
          resource,
          error: `there is no resource '${resource}' in hast.conf`,
          code: 'unknown-resource',
        });
        continue;
      }
      try {
        await setRole(group, role);
        results.push({ resource, error: null, code: null });
      } catch (error) {
        const code = error instanceof HastateError ? error.code : 'internal';
        results.push({ resource, error: error instanceof Error ? error.message : String(error), code });
      }
    }
    return results;
  },

  async switchover(context, args): Promise<SwitchoverResult> {
    const group = findGroup(context, text(args, 'group'));
    const peer = context.runtime.settings.peer?.name ?? null;
    const to =
      typeof args['to'] === 'string' ? args['to'] : group.role === 'primary' ? peer : context.runtime.node;
    const dryRun = args['dryRun'] === true;
    if (peer === null || to === null)
      throw new HastateError(
        'no-peer',
        'hastate.yaml names no other node: there is nobody to switch over to',
      );
    if (to !== peer && to !== context.runtime.node)
      throw new HastateError(
        'unknown-node',
        `there is no node '${to}': it is ${peer} or ${context.runtime.node}`,
      );
    if (group.role !== 'primary') {
      if (to !== context.runtime.node)
        throw new HastateError(
          'not-primary',
          `${group.settings.name} is not primary here; ask on ${to}'s peer or name --to ${context.runtime.node}`,
        );
      return (await context.askPeerToSwitch(group.settings.name)) as SwitchoverResult;
    }
    return switchAway(context, group, peer, to, dryRun);
  },

  async promote(context, args) {
    const group = findGroup(context, text(args, 'group'));
    const trigger: Trigger = {
      kind: 'operator',
      force: args['force'] === true,
      reason: typeof args['reason'] === 'string' ? args['reason'] : null,
    };
    context.runtime.journal.add({
      kind: 'operator.promote',
      level: 'warn',
      group: group.settings.name,
      message: `an operator asks to promote ${group.settings.name}${trigger.force ? `, forced: ${trigger.reason ?? ''}` : ''}`,
      data: { ...trigger },
    });
    await group.promote(trigger, 'serving', CHANGE_MS);
    return { group: group.settings.name, state: group.state };
  },

  'why-not': (context, args): Promise<WhyNotResult> => {
    const group = findGroup(context, text(args, 'group'));
    const judged = group.verdict({ kind: 'automatic' });
    const already: Verdict = {
      answer: 'promote',
      reasons: [{ rule: 'B1', code: 'already-primary', text: `${context.runtime.node} is primary already` }],
      retryInMs: null,
      next: null,
    };
    const held = holdsOff(group.actor.getSnapshot());
    const waits: Verdict | null =
      held === null
        ? null
        : { ...judged.verdict, answer: 'wait', reasons: [held, ...judged.verdict.reasons] };
    const verdict = group.role === 'primary' ? already : (waits ?? judged.verdict);
    return Promise.resolve({ group: group.settings.name, verdict, evidence: judged.evidence });
  },

  events(context, args, push, signal) {
    for (const event of context.runtime.journal.recent()) push(event);
    if (args['follow'] !== true) return Promise.resolve({ done: true });
    return new Promise((resolve) => {
      const end = context.runtime.journal.follow(push);
      signal.addEventListener(
        'abort',
        () => {
          end();
          resolve({ done: true });
        },
        { once: true },
      );
    });
  },

  stop(context) {
    context.stop();
    return Promise.resolve({ stopping: true });
  },
};

async function setRole(group: Group, role: string): Promise<void> {
  switch (role) {
    case 'primary':
      await group.promote({ kind: 'operator', force: false, reason: null }, 'serving', CHANGE_MS);
      return;
    case 'secondary':
      await group.beSecondary(CHANGE_MS);
      return;
    case 'init':
      await group.demote('an operator gave it role init', null, CHANGE_MS);
      return;
    default:
      throw new HastateError('bad-role', `'${role}' is no role: use init, primary or secondary`);
  }
}

/** This node is primary and lets the other take over. Also called for the peer's own request. */
export async function switchAway(
  context: CommandContext,
  group: Group,
  peer: string,
  to: string,
  dryRun: boolean,
): Promise<SwitchoverResult> {
  const { runtime } = context;
  if (to === runtime.node)
    throw new HastateError('already-primary', `${group.settings.name} is primary on ${to} already`);
  const why = group.peerReady();
  const verdict =
    why === null
      ? {
          answer: 'promote' as const,
          reasons: [{ rule: 'B2', code: 'in-sync', text: `${peer} is connected and in sync` }],
          retryInMs: null,
          next: null,
        }
      : {
          answer: 'refuse' as const,
          reasons: [{ rule: 'B2', code: 'peer-not-ready', text: why }],
          retryInMs: null,
          next: 'hastate status',
        };
  const plan = switchoverPlan(group, runtime.node, to);
  const base = { group: group.settings.name, from: runtime.node, to, dryRun, verdict, plan };
  if (dryRun) return { ...base, tookMs: null };
  if (why !== null)
    throw new HastateError(
      'switchover-refused',
      `${group.settings.name} stays on ${runtime.node}: ${why}; try again when it is resolved`,
    );
  const started = runtime.clock.now();
  await group.demote(`switchover to ${to}`, to, CHANGE_MS);
  await untilPeerServes(context, group.settings.name, to);
  return { ...base, tookMs: Math.round(runtime.clock.now() - started) };
}

/** @throws HastateError `switchover-incomplete` when the other node took the epoch and does not serve */
async function untilPeerServes(context: CommandContext, group: string, peer: string): Promise<void> {
  const { clock, peer: words } = context.runtime;
  const deadline = clock.now() + CHANGE_MS;
  for (;;) {
    const report = words.group(group);
    if (report?.primary === true && !report.changing) return;
    if (clock.now() > deadline) {
      throw new HastateError(
        'switchover-incomplete',
        `${group}: ${peer} took over and does not serve yet; look at 'hastate groups' and the log there`,
      );
    }
    await new Promise<void>((resolve) => {
      clock.after(PEER_POLL_MS, resolve);
    });
  }
}

function switchoverPlan(group: Group, from: string, to: string): string[] {
  const { settings } = group;
  const hooks = Object.keys(settings.hooks).sort();
  return [
    ...(settings.address === null ? [] : [`${from}: take ${settings.address.addresses.join(', ')} down`]),
    ...hooks.toReversed().map((hook) => `${from}: ${hook} stop`),
    `${from}: close the exports of ${settings.resources.join(', ')}, flush both sides, hand the epoch over`,
    `${to}: record the next epoch, become primary of ${settings.resources.join(', ')}`,
    ...hooks.map((hook) => `${to}: ${hook} start`),
    ...(settings.address === null ? [] : [`${to}: put ${settings.address.addresses.join(', ')} up`]),
  ];
}

/** @throws HastateError with a stable code; the control server sends it as the error of the reply */
export async function runCommand(
  context: CommandContext,
  request: ControlRequest,
  push: Push,
  signal: AbortSignal,
): Promise<unknown> {
  if (!Object.hasOwn(handlers, request.command)) {
    throw new HastateError('unknown-command', `'${request.command}' is no command of this daemon`);
  }
  return await handlers[request.command](context, request.args, push, signal);
}
