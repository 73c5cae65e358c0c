/** `hastate promote`: makes this node primary on an operator's word. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';

const TIMEOUT_MS = 90_000;

export function promoteCommand(program: Command, cli: Cli): void {
  program
    .command('promote')
    .description('make this node primary for a group; --force may lose writes that only the other node has')
    .argument('<group>', 'group of hastate.yaml')
    .option('--force', 'although the data here may not be the newest')
    .option('--reason <text>', 'why, for the journal; needed with --force')
    .action(async (group: string, { force = false, reason }: { force?: boolean; reason?: string }) => {
      if (force && (reason === undefined || reason.trim() === '')) {
        throw new CliError(
          EXIT.usage,
          `promote ${group} --force needs --reason TEXT: it is kept in the journal`,
        );
      }
      const args = { group, force, reason: reason ?? null };
      const result = (await (await cli.daemon()).request('promote', args, TIMEOUT_MS)) as {
        group: string;
        state: string;
      };
      cli.print(result, () => `${result.group}: ${result.state}\n`);
    });
}
