/** Turns a group's settings and the hooks that were found into the calls to make, in order. Pure. */
import { join } from 'node:path';

import { HookError } from '../model/errors.ts';
import type { HookStep, HookVerb, KnownVerb } from '../model/hook.ts';
import type { FenceSettings, GroupSettings } from '../model/settings.ts';
import type { DiscoveredHook, HookDirectory } from './discover.ts';

/** What hooks are told of the transition they are part of. */
export interface HookContext {
  readonly node: string;
  readonly peer: string | null;
  /** Resource -> device path, for those that have one. */
  readonly devices: Readonly<Record<string, string>>;
  readonly reason: string;
  readonly epoch: number;
  /** An operator said `--force`, or the peer was fenced: a foreign owner's mark may be overridden. */
  readonly forced: boolean;
  /** A directory where hooks may keep files. */
  readonly stateDir: string;
}

/** One or more hooks of a group cannot run. `steps` are the others, for a stop that must go on. */
export class HookPlanError extends HookError {
  readonly steps: readonly HookStep[];

  constructor(code: string, message: string, steps: readonly HookStep[]) {
    super(code, message);
    this.steps = steps;
  }
}

export const HOOK_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The calls of one verb: ascending, for `stop` descending. A hook that does not know the
 * verb by its header has no step.
 * @throws HookPlanError `hook-missing`, `hook-refused` or `hook-name-clash` naming every file and its remedy
 */
export function planHooks(
  group: GroupSettings,
  discovered: HookDirectory,
  verb: HookVerb | 'rehearse',
  context: HookContext,
): HookStep[] {
  const steps: HookStep[] = [];
  const problems: HookError[] = [];
  for (const name of Object.keys(group.hooks).sort()) {
    const hook = discovered.hooks.find((each) => each.name === name);
    try {
      if (hook === undefined) throw whyNot(group, discovered, name);
      const env = groupEnvironment(group, name, verb, context);
      if (knows(hook, verb)) steps.push(stepOf(hook, group.name, verb, [], env));
    } catch (error) {
      if (!(error instanceof HookError)) throw error;
      problems.push(error);
    }
  }
  if (verb === 'stop') steps.reverse();
  const [first] = problems;
  if (first === undefined) return steps;
  throw new HookPlanError(first.code, problems.map((each) => each.message).join('; '), steps);
}

/** The calls of `notify.d` for one event, with its arguments as hastd's `exec` gives them. */
export function planNotify(
  discovered: HookDirectory,
  event: string,
  args: readonly string[],
  context: HookContext,
): HookStep[] {
  return discovered.notify.map((hook) =>
    stepOf(hook, 'notify', event, args, commonEnvironment(event, context)),
  );
}

/**
 * The calls of `fence.d`: each is asked to make certain that `peer` is down; exit 0 says that it is.
 * @param wanted the files to ask and their parameters, null: all of them
 * @throws HookError `hook-missing` or `hook-refused` for one that is wanted and may not run
 */
export function planFence(
  discovered: HookDirectory,
  wanted: FenceSettings['hooks'],
  peer: string,
  context: HookContext,
): HookStep[] {
  const names = wanted === null ? discovered.fence.map(({ name }) => name) : Object.keys(wanted).sort();
  return names.map((name) => {
    const hook = discovered.fence.find((each) => each.name === name);
    if (hook === undefined) throw fenceMissing(discovered, name);
    const env = commonEnvironment('fence', context);
    for (const [key, value] of Object.entries(wanted?.[name] ?? {}))
      define(env, name, environmentName('HASTATE_PARAM_', key), value);
    return stepOf(hook, 'fence', 'fence', [peer], env);
  });
}

function fenceMissing({ dir, refused }: HookDirectory, name: string): HookError {
  const path = join(dir, 'fence.d', name);
  const known = refused.find((each) => each.path === path);
  return known === undefined
    ? new HookError('hook-missing', `fence hook ${name} is not in ${dir}/fence.d: put it there`)
    : new HookError('hook-refused', `fence hook ${path} may not run: ${known.reason}`);
}

/** `kill-holders` -> `HASTATE_PARAM_KILL_HOLDERS`. */
export function environmentName(prefix: string, word: string): string {
  return `${prefix}${word.toUpperCase().replace(/[^A-Z0-9_]/g, '_')}`;
}

function knows(hook: DiscoveredHook, verb: KnownVerb): boolean {
  return hook.header.verbs.includes(verb);
}

function stepOf(
  hook: DiscoveredHook,
  group: string,
  verb: string,
  args: readonly string[],
  env: Record<string, string>,
): HookStep {
  const { timeoutMs, graceMs, retries, retryDelayMs } = hook.header;
  return {
    group,
    name: hook.name,
    path: hook.realPath,
    verb,
    args,
    env,
    timeoutMs,
    graceMs,
    retries,
    retryDelayMs,
  };
}

function commonEnvironment(verb: string, context: HookContext): Record<string, string> {
  return {
    PATH: HOOK_PATH,
    HASTATE_VERB: verb,
    HASTATE_NODE: context.node,
    HASTATE_PEER: context.peer ?? '',
    HASTATE_REASON: context.reason,
    HASTATE_EPOCH: String(context.epoch),
    HASTATE_FORCED: context.forced ? '1' : '0',
    HASTATE_STATE_DIR: context.stateDir,
  };
}

function groupEnvironment(
  group: GroupSettings,
  hook: string,
  verb: string,
  context: HookContext,
): Record<string, string> {
  const env = commonEnvironment(verb, context);
  env['HASTATE_GROUP'] = group.name;
  env['HASTATE_RESOURCES'] = group.resources.join(' ');
  const devices: string[] = [];
  for (const resource of group.resources) {
    const device = context.devices[resource];
    if (device === undefined) continue;
    devices.push(device);
    define(env, hook, environmentName('HASTATE_DEVICE_', resource), device);
  }
  env['HASTATE_DEVICES'] = devices.join(' ');
  for (const [name, value] of Object.entries(group.hooks[hook] ?? {}))
    define(env, hook, environmentName('HASTATE_PARAM_', name), value);
  return env;
}

/** `disk-1` and `disk_1` have one name in the environment: a hook would take the wrong disk. */
function define(env: Record<string, string>, hook: string, name: string, value: string): void {
  if (name in env)
    throw new HookError('hook-name-clash', `two names become ${name} for hook ${hook}; rename one of them`);
  env[name] = value;
}

function whyNot(group: GroupSettings, discovered: HookDirectory, name: string): HookError {
  const path = `${discovered.dir}/${name}`;
  const refused = discovered.refused.find((each) => each.path === path);
  if (refused !== undefined)
    return new HookError(
      'hook-refused',
      `hook ${name} of group ${group.name} may not run: ${refused.reason}`,
    );
  return new HookError(
    'hook-missing',
    `hook ${name} of group ${group.name} is not there; put an executable file at ${path} ` +
      `(two digits, a dash, letters, digits, _ and -), or remove it from the group's hooks`,
  );
}
