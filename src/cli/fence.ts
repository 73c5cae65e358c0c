/** `hastate fence`: makes certain that the other node is down, or says that it is. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';

/** Power switches are slow. */
const TIMEOUT_MS = 10 * 60_000;

interface Options {
  readonly confirmDown?: boolean;
  readonly reason?: string;
}

export function fenceCommand(program: Command, cli: Cli): void {
  program
    .command('fence')
    .description('switch the other node off with the programs of fence.d, or say that it is certainly off')
    .argument('<node>', 'the other node')
    .requiredOption('--reason <text>', 'why, for the journal')
    .option('--confirm-down', 'run nothing: it is off, or cut off from its disks, and stays so')
    .action(async (node: string, { confirmDown = false, reason = '' }: Options) => {
      if (reason.trim() === '')
        throw new CliError(EXIT.usage, `fence ${node} needs --reason TEXT: it is kept in the journal`);
      const args = { node, confirmDown, reason };
      const result = await (await cli.daemon()).request('fence', args, TIMEOUT_MS);
      cli.print(result, () => `${node} is fenced\n`);
    });
}
