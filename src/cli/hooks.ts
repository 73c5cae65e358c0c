/** `hastate hooks`: what stands in the hook directory, what is wrong there, and a rehearsal. None needs a daemon. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';
import { rehearse, type Rehearsed } from './rehearse.ts';
import { table } from './table.ts';
import { loadHastate } from '../config/hastate-yaml.ts';
import { defaultHooksDir } from '../hooks/discover.ts';
import { type HookSurvey, type SurveyedHook, surveyHooks } from '../hooks/survey.ts';
import type { GroupSettings, HastateSettings } from '../model/settings.ts';

/** Something is wrong with a hook. */
const WRONG = 1;

interface DirOption {
  readonly dir?: string;
}

export function hooksCommand(program: Command, cli: Cli): void {
  const hooks = program.command('hooks').description('list, check and rehearse the hooks of the groups');
  const directory = ['--dir <directory>', "a hook directory, instead of hastate.yaml's"] as const;
  hooks
    .command('list')
    .description('every file of the hook directory, and whether it may run')
    .option(...directory)
    .action(async ({ dir }: DirOption) => {
      const { survey } = await surveyed(program, cli, dir);
      cli.print(survey, () => listText(survey));
    });
  hooks
    .command('check')
    .description('what keeps a hook from running: owners, modes, names, headers, missing files')
    .option(...directory)
    .action(async ({ dir }: DirOption) => {
      const { survey } = await surveyed(program, cli, dir);
      const { problems } = survey;
      cli.print({ dir: survey.dir, ok: problems.length === 0, problems }, () => checkText(survey));
      if (problems.length > 0) cli.exitWith(WRONG);
    });
  hooks
    .command('rehearse [group]')
    .description('let the hooks that know how say what a start would do; nothing is changed')
    .option(...directory)
    .action(async (name: string | undefined, { dir }: DirOption) => {
      const { survey, settings } = await surveyed(program, cli, dir);
      const groups = chosen(settings, name);
      const rehearsed: Rehearsed[] = [];
      for (const group of groups) rehearsed.push(await rehearse(cli, settings, group, survey.dir));
      cli.print(rehearsed, () => rehearsed.map(rehearsedText).join(''));
      if (rehearsed.some(({ ok }) => !ok)) cli.exitWith(WRONG);
    });
}

/** @throws ConfigFileError, HookError */
async function surveyed(
  program: Command,
  cli: Cli,
  dir: string | undefined,
): Promise<{ survey: HookSurvey; settings: HastateSettings | null }> {
  const settings = await hastateSettings(program, cli);
  const survey = await surveyHooks(dir ?? settings?.hooksDir ?? defaultHooksDir(), settings?.groups ?? []);
  return { survey, settings };
}

/** Null without a hastate.yaml, unless one was named: then hooks are in use by no group. */
async function hastateSettings(program: Command, cli: Cli): Promise<HastateSettings | null> {
  const path = cli.options.hastate;
  try {
    return await loadHastate(path, await cli.hast(), { onWarning: () => undefined });
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'config-missing';
    if (absent && program.getOptionValueSource('hastate') === 'default') return null;
    throw error;
  }
}

function chosen(settings: HastateSettings | null, name: string | undefined): readonly GroupSettings[] {
  const groups = settings?.groups ?? [];
  if (name === undefined) return groups;
  const group = groups.find((each) => each.name === name);
  if (group !== undefined) return [group];
  const known = groups.map((each) => each.name).join(', ');
  throw new CliError(
    EXIT.unknownName,
    `there is no group '${name}'; hastate.yaml has: ${known === '' ? 'none' : known}`,
  );
}

function listText({ dir, files }: HookSurvey): string {
  if (files.length === 0) return `${dir} has no hooks\n`;
  const rows = files.map((file) => [file.name, ...limits(file), users(file), mayRun(file)]);
  return `${dir}\n${table([['HOOK', 'VERBS', 'TIMEOUT', 'RETRIES', 'GROUPS', 'MAY RUN'], ...rows])}`;
}

function limits({ header, kind }: SurveyedHook): string[] {
  if (header === null) return ['-', '-', '-'];
  const { timeoutMs, retries, verbs } = header;
  return [kind === 'hook' ? verbs.join(',') : '-', `${timeoutMs / 1000}s`, String(retries)];
}

function users({ kind, groups }: SurveyedHook): string {
  if (kind === 'notify' || kind === 'fence') return 'all';
  return groups.length === 0 ? '-' : groups.join(',');
}

function mayRun({ kind, refused, groups }: SurveyedHook): string {
  if (refused !== null) return `no: ${refused}`;
  if (kind === 'shared') return 'sourced by the hooks beside it';
  if (kind === 'ignored') return 'no: its name is not two digits, a dash and a name without dots';
  return kind === 'hook' && groups.length === 0 ? 'yes, and no group names it' : 'yes';
}

function checkText({ dir, files, problems }: HookSurvey): string {
  if (problems.length > 0) return problems.map((problem) => `${problem}\n`).join('');
  const count = files.filter(({ header }) => header !== null).length;
  return `ok: ${count} ${count === 1 ? 'hook' : 'hooks'} in ${dir} may run\n`;
}

function rehearsedText({ group, problem, hooks }: Rehearsed): string {
  const lines = hooks.flatMap(({ hook, result, output }) => [
    `  ${hook}: ${result}`,
    ...output
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `    ${line}`),
  ]);
  return [group, ...(problem === null ? [] : [`  ${problem}`]), ...lines].map((line) => `${line}\n`).join('');
}
