/** `hastate check`: both files, and what they name. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { EXIT } from './exit.ts';
import { checkConfiguration } from '../config/check.ts';
import type { CheckResult } from '../config/check.ts';
import { formatDiagnostic } from '../config/diagnostics.ts';
import { defaultHooksDir } from '../hooks/discover.ts';
import { surveyHooks } from '../hooks/survey.ts';
import { HookError } from '../model/errors.ts';

const EXITS = { ok: EXIT.ok, invalid: EXIT.config, missing: EXIT.osFile } as const;

export function checkCommand(program: Command, cli: Cli): void {
  program
    .command('check')
    .description('check hast.conf, hastate.yaml and what they name')
    .action(async () => {
      const { config, hastate, node } = cli.options;
      const hastateRequired = program.getOptionValueSource('hastate') !== 'default';
      const result = await checkConfiguration({
        hastConf: config,
        hastateYaml: hastate,
        hastateRequired,
        node,
      });
      const hooks = await hookProblems(result);
      if (cli.options.json === true) {
        cli.print({ outcome: result.outcome, diagnostics: result.diagnostics, hooks }, () => '');
      } else {
        for (const diagnostic of result.diagnostics) cli.io.err(`${formatDiagnostic(diagnostic)}\n`);
        for (const problem of hooks) cli.io.err(`warning: hook ${problem}\n`);
        if (result.outcome === 'ok') cli.io.out(summary(result));
      }
      cli.exitWith(EXITS[result.outcome]);
    });
}

/** A hook may be put in its place after this: it is no fault of the files. */
async function hookProblems({ hastate }: CheckResult): Promise<readonly string[]> {
  if (hastate === null) return [];
  try {
    return (await surveyHooks(hastate.hooksDir ?? defaultHooksDir(), hastate.groups)).problems;
  } catch (error) {
    if (error instanceof HookError) return [`directory: ${error.message}`];
    throw error;
  }
}

function summary({ hast, hastate }: CheckResult): string {
  const groups =
    hastate === null ? 'no hastate.yaml: roles are set by hand' : count(hastate.groups.length, 'group');
  return `ok: node ${hast?.node ?? '-'}, ${count(hast?.resources.length ?? 0, 'resource')}, ${groups}\n`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
