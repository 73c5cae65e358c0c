/** Everything that stands in a hook directory: what may run, for whom, and why the rest may not. */
import { access, constants, open, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import type { GroupSettings } from '../model/settings.ts';
import { discoverHooks, isHookName, type DiscoveredHook, type HookDirectory } from './discover.ts';
import type { HookHeader } from './header.ts';
import { type HookContext, HookPlanError, planHooks } from './plan.ts';

export interface SurveyedHook {
  /** `notify.d/10-mail` for one of a sub-directory. */
  readonly name: string;
  readonly path: string;
  /** `shared`: sourced by hooks, never run; `ignored`: its name is not a hook's. */
  readonly kind: 'hook' | 'notify' | 'fence' | 'shared' | 'ignored' | 'missing';
  /** Groups that name it; nothing else of the directory itself runs. */
  readonly groups: readonly string[];
  readonly header: HookHeader | null;
  /** Why it may not run and what to do, or null. */
  readonly refused: string | null;
}

export interface HookSurvey {
  readonly dir: string;
  /** By name: the hooks, what groups name and is not there, then `notify.d` and `fence.d`. */
  readonly files: readonly SurveyedHook[];
  /** What is wrong, one sentence each with its remedy. */
  readonly problems: readonly string[];
}

const SUB_DIRECTORIES: readonly string[] = ['notify.d', 'fence.d'];
const FIRST_LINE_BYTES = 256;
/** For a look at what would run: nothing does. */
const NOWHERE: HookContext = {
  node: '',
  peer: null,
  devices: {},
  reason: '',
  epoch: 0,
  forced: false,
  stateDir: '',
};

/** @throws HookError `hook-dir` when `dir` exists and cannot be read */
export async function surveyHooks(dir: string, groups: readonly GroupSettings[]): Promise<HookSurvey> {
  const found = await discoverHooks(dir);
  const own = await filesOf(found, dir, 'hook', found.hooks, groups);
  const files = [
    ...own,
    ...missing(dir, own, groups),
    ...(await filesOf(found, join(dir, 'notify.d'), 'notify', found.notify, [])),
    ...(await filesOf(found, join(dir, 'fence.d'), 'fence', found.fence, [])),
  ];
  const problems = [
    ...files.flatMap(({ name, refused }) => (refused === null ? [] : [`${name}: ${refused}`])),
    ...groups.flatMap((group) => groupProblems(group, found, files)),
  ];
  return { dir, files, problems };
}

async function filesOf(
  found: HookDirectory,
  dir: string,
  kind: 'hook' | 'notify' | 'fence',
  hooks: readonly DiscoveredHook[],
  groups: readonly GroupSettings[],
): Promise<SurveyedHook[]> {
  const names = await readdir(dir).catch((): string[] => []);
  const top = kind === 'hook';
  const files = names
    .filter((name) => !top || !SUB_DIRECTORIES.includes(name))
    .sort()
    .map(async (name): Promise<SurveyedHook> => {
      const path = join(dir, name);
      const hook = hooks.find((each) => each.path === path);
      const refused = found.refused.find((each) => each.path === path)?.reason ?? null;
      return {
        name: top ? name : `${basename(dir)}/${name}`,
        path,
        kind: isHookName(name) ? kind : name.endsWith('.sh') ? 'shared' : 'ignored',
        groups: groups.filter((group) => name in group.hooks).map((group) => group.name),
        header: hook?.header ?? null,
        refused: hook === undefined ? refused : await interpreterProblem(hook.realPath),
      };
    });
  return Promise.all(files);
}

function missing(
  dir: string,
  there: readonly SurveyedHook[],
  groups: readonly GroupSettings[],
): SurveyedHook[] {
  const wanted = new Set(groups.flatMap(({ hooks }) => Object.keys(hooks)));
  const names = [...wanted].filter((name) => !there.some((file) => file.name === name)).sort();
  return names.map((name) => {
    const users = groups.filter((group) => name in group.hooks).map((group) => group.name);
    const path = join(dir, name);
    const refused = `group ${users.join(' and ')} names it and it is not there; put an executable file at ${path}, or remove it from the group's hooks`;
    return { name, path, kind: 'missing', groups: users, header: null, refused };
  });
}

/** The kernel's own message for a first line that names no program is "no such file": of the hook. */
async function interpreterProblem(path: string): Promise<string | null> {
  const file = await open(path, 'r');
  let program: string | undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE_BYTES), 0, FIRST_LINE_BYTES, 0);
    program = /^#!\s*(\S+)/.exec(buffer.toString('latin1', 0, bytesRead))?.[1];
  } finally {
    await file.close();
  }
  if (program === undefined) return null;
  return access(program, constants.X_OK).then(
    () => null,
    () => `its first line (#!) names ${program}, which cannot be run; install it or correct the line`,
  );
}

/** What no single file shows. */
function groupProblems(group: GroupSettings, found: HookDirectory, files: readonly SurveyedHook[]): string[] {
  const problems: string[] = [];
  const unsure = Object.entries(group.monitor.hooks).filter(([, settings]) => settings !== null);
  for (const [name] of unsure) {
    const header = files.find((file) => file.name === name)?.header ?? null;
    if (header === null || (header.declared && header.verbs.includes('status'))) continue;
    problems.push(
      `${name}: group ${group.name} watches it and it does not declare 'status'; add '# hastate: verbs=start,stop,status' to it`,
    );
  }
  if (group.policy === 'consistent' && found.fence.length === 0)
    problems.push(
      `fence.d: group ${group.name} has policy consistent, and no hook there may run; put one there`,
    );
  return [...problems, ...clashes(group, found)];
}

function clashes(group: GroupSettings, found: HookDirectory): string[] {
  const devices = Object.fromEntries(group.resources.map((name) => [name, '']));
  try {
    planHooks(group, found, 'start', { ...NOWHERE, devices });
    return [];
  } catch (error) {
    if (!(error instanceof HookPlanError)) throw error;
    // Files that are missing or refused are told already.
    return error.code === 'hook-name-clash' ? [error.message] : [];
  }
}
