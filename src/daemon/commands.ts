/** What an operator can ask of this node over the control socket. Each command is one function. */
import { HastateError } from '../model/errors.ts';
import type { Trigger } from '../model/evidence.ts';
import type { Verdict } from '../model/verdict.ts';
import type { ControlRequest, JournalEvent, SwitchoverResult, WhyNotResult } from '../protocol/control.ts';
import type { PeerMethod } from '../protocol/peer-message.ts';
import type { Fence } from './bind/fence.ts';
import type { Group } from './bind/group.ts';
import { holdsOff } from './bind/group-phase.ts';
import { nodeStatus, refresh, type StatusSources } from './status.ts';
import type { RoleDesk } from './roles.ts';
import type { HastctlPorts } from './hastctl-bridge.ts';
import { resolveSplit } from './resolve.ts';
import type { Runtime } from './runtime.ts';
import { verifyResource } from './verify.ts';
import { readSwitchOrder, switchWhenReady, takeWhenReady } from './switchover.ts';

const CHANGE_MS = 60_000;

export interface CommandContext {
  readonly runtime: Runtime;
  readonly sources: StatusSources;
  readonly roles: RoleDesk;
  readonly fence: Pick<Fence, 'run' | 'confirm'>;
  /** What an operator holds was changed. */
  holdsChanged(): void;
  /** @throws NetError */
  askPeer(method: PeerMethod, params: Record<string, unknown>, timeoutMs: number): Promise<unknown>;
  stop(): void;
  /** Reads both files again. */
  reload(): Promise<unknown>;
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
  async status(context) {
    await refresh(context.sources);
    return nodeStatus(context.runtime, context.sources);
  },
  groups(context, args) {
    if (args['clearHold'] !== undefined) findGroup(context, text(args, 'clearHold')).clearHold();
    return Promise.resolve(nodeStatus(context.runtime, context.sources).groups);
  },

  role(context, args) {
    const names = Array.isArray(args['resources']) ? args['resources'].map(String) : [];
    return context.roles.give(text(args, 'role'), names.length === 0 ? ['all'] : names);
  },

  async switchover(context, args, _push, signal): Promise<SwitchoverResult> {
    const group = findGroup(context, text(args, 'group'));
    const peer = context.runtime.settings.peer?.name ?? null;
    const to =
      typeof args['to'] === 'string' ? args['to'] : group.role === 'primary' ? peer : context.runtime.node;
    const order = readSwitchOrder(args);
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
      return takeWhenReady(context.runtime, group, order, context.askPeer.bind(context), signal);
    }
    if (to === context.runtime.node)
      throw new HastateError('already-primary', `${group.settings.name} is primary on ${to} already`);
    return switchWhenReady(context.runtime, group, order, signal);
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

  async standby(context, args) {
    const { runtime } = context;
    const reason = args['reason'] === null ? null : text(args, 'reason');
    await runtime.holds.setStandby(reason);
    const message =
      reason === null
        ? 'an operator ended the standby of this node'
        : `an operator put this node on standby: ${reason}`;
    runtime.journal.add({ kind: 'operator.standby', level: 'warn', message });
    context.holdsChanged();
    return { on: reason !== null };
  },

  async maintenance(context, args) {
    const { runtime } = context;
    const { name } = findGroup(context, text(args, 'group')).settings;
    const reason = args['reason'] === null ? null : text(args, 'reason');
    await runtime.holds.setMaintenance(name, reason);
    const message =
      reason === null
        ? `${name}: an operator ended its maintenance on this node`
        : `${name}: an operator put it into maintenance on this node: ${reason}`;
    runtime.journal.add({ kind: 'operator.maintenance', level: 'warn', group: name, message });
    context.holdsChanged();
    return { on: reason !== null };
  },

  async fence(context, args) {
    const { runtime, fence } = context;
    const node = text(args, 'node');
    const reason = text(args, 'reason');
    const peer = runtime.settings.peer?.name ?? null;
    if (node !== peer)
      throw new HastateError(
        'unknown-node',
        `'${node}' cannot be fenced from here: ${peer === null ? 'there is no other node' : `the other node is ${peer}`}`,
      );
    if (args['confirmDown'] === true) fence.confirm(reason);
    else await fence.run({ why: `an operator asks: ${reason}`, delayMs: 0, now: true });
    return { node, fenced: true };
  },

  resolve: (context, args) =>
    resolveSplit(context, {
      resource: text(args, 'resource'),
      discard: text(args, 'discard'),
      dryRun: args['dryRun'] === true,
      demote: args['demote'] === true,
    }),

  verify: (context, args) => verifyResource(context, args),

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
        : {
            ...judged.verdict,
            ...{ answer: 'wait', reasons: [held, ...judged.verdict.reasons] },
            next: judged.verdict.next ?? `hastate groups --clear-hold ${group.settings.name}`,
          };
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

  reload: (context) => context.reload(),

  stop(context) {
    context.stop();
    return Promise.resolve({ stopping: true });
  },
};

/** What hastctl can ask for. */
export function hastctlPorts({ runtime, sources, roles }: CommandContext): HastctlPorts {
  return {
    version: sources.version,
    status: async () => {
      await refresh(sources);
      return nodeStatus(runtime, sources);
    },
    role: (role, names) => roles.give(role, names),
  };
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
