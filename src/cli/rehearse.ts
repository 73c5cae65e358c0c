/** Runs the hooks of a group that know `rehearse`, in the environment that a promotion would give them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cli } from './cli.ts';
import { ControlError } from './client.ts';
import { discoverHooks } from '../hooks/discover.ts';
import { HookPlanError, planHooks } from '../hooks/plan.ts';
import { runHook } from '../hooks/run.ts';
import { hookSucceeded, type HookStep } from '../model/hook.ts';
import type { GroupSettings, HastateSettings } from '../model/settings.ts';
import type { NodeStatus } from '../protocol/control.ts';

export interface Rehearsed {
  readonly group: string;
  readonly ok: boolean;
  /** What keeps a hook from being planned, or null. */
  readonly problem: string | null;
  readonly hooks: readonly {
    readonly hook: string;
    readonly result: string;
    readonly output: string;
  }[];
}

const ASK_MS = 2000;

/** Devices and epoch are those of a running daemon; without one there are none, and the hooks say so. */
export async function rehearse(
  cli: Cli,
  settings: HastateSettings | null,
  group: GroupSettings,
  dir: string,
): Promise<Rehearsed> {
  const found = await discoverHooks(dir);
  const status = await statusOf(cli);
  const { defaultStateDir } = await import('../daemon/state-dir.ts');
  const members = status?.resources.filter(({ name }) => group.resources.includes(name)) ?? [];
  let problem: string | null = null;
  let steps: readonly HookStep[];
  try {
    steps = planHooks(group, found, 'rehearse', {
      node: settings?.node ?? '',
      peer: settings?.peer?.name ?? null,
      devices: Object.fromEntries(
        members.flatMap(({ name, device }) => (device === null ? [] : [[name, device] as const])),
      ),
      reason: 'a rehearsal',
      epoch: Math.max(0, ...members.map(({ record }) => record?.epoch.number ?? 0)),
      forced: false,
      stateDir: defaultStateDir(),
    });
  } catch (error) {
    if (!(error instanceof HookPlanError)) throw error;
    problem = error.message;
    steps = error.steps;
  }
  const hooks: { hook: string; result: string; output: string }[] = [];
  let ok = problem === null;
  for (const hook of Object.keys(group.hooks).sort()) {
    const step = steps.find(({ name }) => name === hook);
    if (step === undefined) {
      const silent = found.hooks.some(({ name }) => name === hook);
      if (silent) hooks.push({ hook, result: "does not know 'rehearse'", output: '' });
      continue;
    }
    const outcome = await runOnce(cli, step);
    ok &&= hookSucceeded(outcome);
    const { failure, output } = outcome;
    hooks.push({ hook, result: failure ?? 'ok', output: output.trimEnd() });
  }
  return { group: group.name, ok, problem, hooks };
}

async function runOnce(cli: Cli, step: HookStep) {
  const outputDir = await mkdtemp(join(tmpdir(), 'hastate-rehearsal-'));
  try {
    const signal = cli.io.interruption?.() ?? new AbortController().signal;
    return await runHook(step, { signal, outputDir, log: (_, message) => cli.io.err(`${message}\n`) });
  } finally {
    await rm(outputDir, { recursive: true, force: true });
  }
}

async function statusOf(cli: Cli): Promise<NodeStatus | null> {
  try {
    return (await (await cli.daemon()).request('status', {}, ASK_MS)) as NodeStatus;
  } catch (error) {
    if (error instanceof ControlError) return null;
    throw error;
  }
}
