/** `hastate role`: gives resources a role by hand. */
import { Argument } from 'commander';
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { exitCodeOfCode } from './exit.ts';

interface RoleResult {
  readonly resource: string;
  readonly error: string | null;
  readonly code: string | null;
}

/** The daemon allows a minute for each resource. */
const EACH_MS = 65_000;

export function roleCommand(program: Command, cli: Cli): void {
  program
    .command('role')
    .description('change the role of resources')
    .addArgument(new Argument('<role>', 'the new role').choices(['init', 'primary', 'secondary']))
    .argument('<name...>', 'resources, or all')
    .action(async (role: string, resources: string[]) => {
      const daemon = await cli.daemon();
      const timeoutMs = EACH_MS * (resources.includes('all') ? 10 : resources.length);
      const results = (await daemon.request('role', { role, resources }, timeoutMs)) as RoleResult[];
      if (cli.options.json === true) cli.print(results, () => '');
      for (const { resource, error, code } of results) {
        if (error !== null) cli.fail(exitCodeOfCode(code ?? ''), `${resource}: ${error}`);
      }
    });
}
