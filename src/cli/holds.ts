/** `hastate standby` and `hastate maintenance`: what a person holds, hastate leaves alone. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';

interface Options {
  readonly off?: boolean;
  readonly reason?: string;
}

/** What was held before, and is now. */
interface Answer {
  readonly on: boolean;
}

export function standbyCommand(program: Command, cli: Cli): void {
  program
    .command('standby')
    .description('this node leads nothing by itself any more and hands over what it leads; --off ends it')
    .option('--off', 'take part again')
    .option('--reason <text>', 'why, for status and the journal')
    .action(async (options: Options) => {
      const args = { reason: reasonOf('standby', options) };
      const result = (await (await cli.daemon()).request('standby', args)) as Answer;
      cli.print(result, () => (result.on ? 'this node is on standby\n' : 'this node takes part again\n'));
    });
}

export function maintenanceCommand(program: Command, cli: Cli): void {
  program
    .command('maintenance')
    .description(
      'a group stays as it is on this node: no takeover, failback or restart by itself; --off ends it',
    )
    .argument('<group>', 'group of hastate.yaml')
    .option('--off', 'decide by itself again')
    .option('--reason <text>', 'why, for status and the journal')
    .action(async (group: string, options: Options) => {
      const args = { group, reason: reasonOf(`maintenance ${group}`, options) };
      const result = (await (await cli.daemon()).request('maintenance', args)) as Answer;
      cli.print(
        result,
        () => `${group}: ${result.on ? 'in maintenance on this node' : 'decides by itself again'}\n`,
      );
    });
}

function reasonOf(command: string, { off = false, reason }: Options): string | null {
  if (off) return null;
  if (reason === undefined || reason.trim() === '')
    throw new CliError(EXIT.usage, `${command} needs --reason TEXT, or --off: others will ask why`);
  return reason;
}
