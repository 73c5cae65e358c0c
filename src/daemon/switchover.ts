/** The planned way from one node to the other. */
import { HastateError } from '../model/errors.ts';
import type { SwitchoverResult } from '../protocol/control.ts';
import type { PeerMethod } from '../protocol/peer-message.ts';
import type { Group } from './bind/group.ts';
import type { Runtime } from './runtime.ts';

const CHANGE_MS = 60_000;
const PEER_POLL_MS = 10;
const READY_POLL_MS = 50;
const ASK_MS = 5000;
const MAX_WAIT_MS = 24 * 3_600_000;

export interface SwitchOrder {
  readonly dryRun: boolean;
  /** How long the other node may take to become ready, e.g. to be resynced. ms */
  readonly waitMs: number;
}

/** Whatever a client or the peer sent: a resync may take long, a forgotten order must not come true a week later. */
export function readSwitchOrder(args: Readonly<Record<string, unknown>>): SwitchOrder {
  const { dryRun, waitMs } = args;
  const wait = typeof waitMs === 'number' && waitMs > 0 ? Math.min(waitMs, MAX_WAIT_MS) : 0;
  return { dryRun: dryRun === true, waitMs: wait };
}

/**
 * This node is primary and lets the other take over, which may first have to become ready.
 * @param signal whoever asked is gone: nothing is done any more
 */
export async function switchWhenReady(
  runtime: Runtime,
  group: Group,
  { dryRun, waitMs }: SwitchOrder,
  signal?: AbortSignal,
): Promise<SwitchoverResult> {
  const peer = runtime.settings.peer?.name ?? '';
  const isReady = (): boolean => group.role !== 'primary' || group.peerReady() === null;
  if (!dryRun) await untilReady(runtime, group, waitMs, isReady, signal);
  return switchAway(runtime, group, peer, peer, dryRun);
}

/**
 * The other node is primary and lets this one take over, which may first have to become ready. The waiting is done
 * here, where it is known whether whoever asked is still there.
 * @throws NetError as askPeer; HastateError `given-up`
 */
export async function takeWhenReady(
  runtime: Runtime,
  group: Group,
  { dryRun, waitMs }: SwitchOrder,
  askPeer: (method: PeerMethod, params: Record<string, unknown>, timeoutMs: number) => Promise<unknown>,
  signal?: AbortSignal,
): Promise<SwitchoverResult> {
  const ask = async (look: boolean, timeoutMs: number): Promise<SwitchoverResult> =>
    (await askPeer(
      'switchover',
      { group: group.settings.name, dryRun: look },
      timeoutMs,
    )) as SwitchoverResult;
  const isReady = async (): Promise<boolean> => (await ask(true, ASK_MS)).verdict.answer === 'promote';
  if (!dryRun) await untilReady(runtime, group, waitMs, isReady, signal);
  return ask(dryRun, CHANGE_MS);
}

/** Until it is ready or the time is over. @throws HastateError `given-up` */
async function untilReady(
  { clock }: Runtime,
  group: Group,
  waitMs: number,
  isReady: () => boolean | Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = clock.now() + waitMs;
  while (clock.now() < deadline && !(await isReady())) {
    await new Promise<void>((resolve) => {
      clock.after(READY_POLL_MS, resolve);
    });
    if (signal?.aborted === true)
      throw new HastateError(
        'given-up',
        `whoever asked for the switchover of ${group.settings.name} is gone`,
      );
  }
}

/** This node is primary and lets the other take over. Also called for the peer's own request. */
export async function switchAway(
  runtime: Runtime,
  group: Group,
  peer: string,
  to: string,
  dryRun: boolean,
): Promise<SwitchoverResult> {
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
  await untilPeerServes(runtime, group, to);
  return { ...base, tookMs: Math.round(runtime.clock.now() - started) };
}

/** To the other node, there is only one. Also for the peer's own request. */
export async function switchToPeer(
  runtime: Runtime,
  group: Group,
  dryRun = false,
): Promise<SwitchoverResult> {
  const peer = runtime.settings.peer?.name ?? '';
  return switchAway(runtime, group, peer, peer, dryRun);
}

/** @throws HastateError `switchover-incomplete` when the other node took the epoch and does not serve */
async function untilPeerServes({ clock, peer: words }: Runtime, group: Group, peer: string): Promise<void> {
  const deadline = clock.now() + CHANGE_MS;
  const { name } = group.settings;
  for (;;) {
    const report = words.group(name);
    if (report?.primary === true && !report.changing) return;
    if (group.role === 'primary') {
      throw new HastateError(
        'switchover-incomplete',
        `${name}: ${peer} took over, could not serve and gave it back; look at 'hastate groups' and the log there`,
      );
    }
    if (clock.now() > deadline) {
      throw new HastateError(
        'switchover-incomplete',
        `${name}: ${peer} took over and does not serve yet; look at 'hastate groups' and the log there`,
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
