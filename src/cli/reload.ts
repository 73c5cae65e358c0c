/** `hastate reload`: the daemon reads both files again and says what it makes of them. */
import type { Command } from 'commander';
import type { ReloadResult } from '../protocol/control.ts';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';

/** A primary that has to open another disk goes down in order first. */
const TIMEOUT_MS = 180_000;

export function reloadCommand(program: Command, cli: Cli): void {
  program
    .command('reload')
    .description('read hast.conf and hastate.yaml again, as SIGHUP does')
    .action(async () => {
      const result = (await (await cli.daemon()).request('reload', {}, TIMEOUT_MS)) as ReloadResult;
      cli.print(result, () => describe(result));
      if (!result.accepted) throw new CliError(EXIT.config, result.problems.join('\n'));
      if (result.problems.length > 0) throw new CliError(EXIT.software, result.problems.join('\n'));
    });
}

function describe({ accepted, applied, needsRestart }: ReloadResult): string {
  if (!accepted) return 'refused: the settings from before stay in force\n';
  const lines = applied.map((what) => `in force: ${what}\n`);
  return (
    (lines.length === 0 ? 'nothing changed\n' : lines.join('')) +
    needsRestart.map((what) => `needs a restart: ${what}\n`).join('')
  );
}
