/** `hastate stop`: ends the daemon in order. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';

export function stopCommand(program: Command, cli: Cli): void {
  program
    .command('stop')
    .description('end the daemon of this node, in order')
    .action(async () => {
      const result = await (await cli.daemon()).request('stop');
      if (cli.options.json === true) cli.print(result, () => '');
    });
}
