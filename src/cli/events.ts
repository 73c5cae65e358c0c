/** `hastate events`: the journal, one line each. */
import type { Command } from 'commander';
import type pc from 'picocolors';
import type { Cli } from './cli.ts';
import type { JournalEvent } from '../protocol/control.ts';

export function eventsCommand(program: Command, cli: Cli): void {
  program
    .command('events')
    .description('print what happened, one line each')
    .option('-f, --follow', 'and go on with what happens')
    .action(async ({ follow = false }: { follow?: boolean }) => {
      const daemon = await cli.daemon();
      const print = (event: JournalEvent): void =>
        cli.io.out(cli.options.json === true ? `${JSON.stringify(event)}\n` : eventText(event, cli.colors));
      await daemon.follow({ follow }, print, follow ? cli.io.interruption?.() : undefined);
    });
}

export function eventText(
  { time, node, level, kind, message }: JournalEvent,
  colors: ReturnType<typeof pc.createColors>,
): string {
  const paint = { error: colors.red, warn: colors.yellow, info: String, debug: colors.dim };
  // A message of a hook or of the system may hold anything; one event stays one line.
  const line = message.replace(/\s*[\r\n]+\s*/g, ' ');
  return `${time} ${node} ${paint[level](`${level} ${kind}: ${line}`)}\n`;
}
