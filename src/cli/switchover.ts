/** `hastate switchover`: moves a group to the other node in order. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';
import { parseDuration } from '../config/durations.ts';
import type { SwitchoverResult } from '../protocol/control.ts';

const TIMEOUT_MS = 150_000;

interface Options {
  readonly to?: string;
  readonly dryRun?: boolean;
  readonly wait: string;
}

export function switchoverCommand(program: Command, cli: Cli): void {
  program
    .command('switchover')
    .description('move a group to the other node, in order and without loss')
    .argument('<group>', 'group of hastate.yaml')
    .option('--to <node>', 'the node to move to')
    .option('--dry-run', 'only say what would be done')
    .option('--wait <time>', 'how long the other node may take to be in sync, e.g. 30m', '10s')
    .action(async (group: string, { to, dryRun = false, wait }: Options) => {
      const waitMs = parseDuration(wait);
      if (waitMs === null) throw new CliError(EXIT.usage, `--wait ${wait} is no time: write e.g. 30s or 10m`);
      const args = { group, dryRun, waitMs, ...(to === undefined ? {} : { to }) };
      const daemon = await cli.daemon();
      const result = (await daemon.request('switchover', args, waitMs + TIMEOUT_MS)) as SwitchoverResult;
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
