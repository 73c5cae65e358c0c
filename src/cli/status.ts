/** `hastate status` and `hastate list`: resources as hastctl prints them. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { EXIT } from './exit.ts';
import { listText, select, statusText } from './hastctl-text.ts';
import type { Selected } from './hastctl-text.ts';
import { syncText } from './sync-text.ts';
import type { NodeStatus } from '../protocol/control.ts';

export function statusCommand(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('print role and state of resources, one line each')
    .argument('[name...]', 'resources, or all')
    .action(async (names: string[]) => {
      const status = await ask(cli);
      const selected = select(status, names);
      cli.print({ ...status, resources: present(cli, selected) }, () =>
        statusText(selected, cli.io.terminal),
      );
      if (cli.io.terminal && cli.options.json !== true) remarks(cli, status, selected);
    });
}

export function listCommand(program: Command, cli: Cli): void {
  program
    .command('list')
    .description('print all that is known of resources')
    .argument('[name...]', 'resources, or all')
    .action(async (names: string[]) => {
      const status = await ask(cli);
      const selected = select(status, names);
      cli.print(present(cli, selected), () => listText(selected, status.pid));
    });
}

async function ask(cli: Cli): Promise<NodeStatus> {
  return (await (await cli.daemon()).request('status')) as NodeStatus;
}

/** The ones that exist; the others decide the exit code, as hastctl's error 1 does. */
function present(cli: Cli, selected: readonly Selected[]): object[] {
  return selected.flatMap<object>(({ name, resource }) => {
    if (resource !== null) return [resource];
    cli.exitWith(EXIT.unknownName);
    return cli.options.json === true ? [{ name, error: 'there is no such resource' }] : [];
  });
}

/** What hastctl has no words for; only where nobody parses the output. */
function remarks(cli: Cli, status: NodeStatus, selected: readonly Selected[]): void {
  for (const { name, resource } of selected) {
    const remark = resource?.error ?? resource?.held ?? null;
    if (remark !== null) cli.io.err(`${name}: ${remark}\n`);
    if (resource?.sync) cli.io.err(`${name}: ${syncText(resource.sync)}\n`);
  }
  for (const warning of status.warnings) cli.io.err(`${status.node}: ${warning}\n`);
}
