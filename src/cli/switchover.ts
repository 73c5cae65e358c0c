/** `hastate switchover`: moves a group to the other node in order. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { EXIT } from './exit.ts';
import type { SwitchoverResult } from '../protocol/control.ts';

const TIMEOUT_MS = 150_000;

export function switchoverCommand(program: Command, cli: Cli): void {
  program
    .command('switchover')
    .description('move a group to the other node, in order and without loss')
    .argument('<group>', 'group of hastate.yaml')
    .option('--to <node>', 'the node to move to')
    .option('--dry-run', 'only say what would be done')
    .action(async (group: string, { to, dryRun = false }: { to?: string; dryRun?: boolean }) => {
      const args = { group, dryRun, ...(to === undefined ? {} : { to }) };
      const result = (await (await cli.daemon()).request('switchover', args, TIMEOUT_MS)) as SwitchoverResult;
      cli.print(result, () => switchoverText(result));
      if (result.verdict.answer !== 'promote') cli.exitWith(EXIT.software);
    });
}

export function switchoverText({ group, from, to, dryRun, verdict, plan, tookMs }: SwitchoverResult): string {
  const lines =
    verdict.answer === 'promote'
      ? [`${group}: ${from} -> ${to}`, ...plan.map((step, index) => `  ${index + 1}. ${step}`)]
      : [`${group} stays on ${from}:`, ...verdict.reasons.map(({ rule, text }) => `  ${rule}  ${text}`)];
  if (verdict.answer !== 'promote' && verdict.next !== null) lines.push(`next: ${verdict.next}`);
  if (tookMs !== null) lines.push(`done in ${tookMs} ms`);
  else if (dryRun && verdict.answer === 'promote') lines.push('nothing was changed');
  return `${lines.join('\n')}\n`;
}
