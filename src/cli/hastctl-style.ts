/**
 * How hastctl's own commands speak: its usage, its log lines on stderr to the byte, its exit
 * codes. A person at a terminal gets colour, and behind a line what to do.
 */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';

export const HASTCTL_COMMANDS: readonly string[] = ['create', 'role', 'list', 'status', 'dump', 'stop'];

type Level = 'ERROR' | 'WARNING' | `DEBUG][${number}`;

/** hastctl's usage; under any other name with what else there is. Lines end with newlines. */
export function usage(program: string): string {
  const lines = [
    `usage: ${program} create [-d] [-c config] [-e extentsize] [-k keepdirty]`,
    '\t\t[-m mediasize] name ...',
    `       ${program} role [-d] [-c config] <init | primary | secondary> all | name ...`,
    `       ${program} list [-d] [-c config] [all | name ...]`,
    `       ${program} status [-d] [-c config] [all | name ...]`,
    `       ${program} dump [-d] [-c config] [all | name ...]`,
  ];
  if (program !== 'hastctl')
    lines.push(
      `       ${program} stop [-d] [-c config]`,
      `       ${program} --help  for groups, switchover and all other commands and options`,
    );
  return `${lines.join('\n')}\n`;
}

/** Bad usage is answered as hastctl does: with its usage, exit 64. What was wrong is told to people only. */
export function speakAsHastctl(command: Command, cli: Cli): void {
  command
    .helpOption('--help', 'display help for command')
    .showHelpAfterError(usage(cli.io.program).trimEnd())
    .configureOutput({
      outputError: (text, write) => {
        if (cli.io.errTerminal) write(text);
      },
    });
}

/**
 * One line of hastctl's log.
 * @param about the resource, or null
 * @param hint what to do, for people
 */
export function logLine(
  cli: Cli,
  level: Level,
  about: string | null,
  message: string,
  hint: string | null = null,
): void {
  const colors = cli.errColors;
  const paint = level === 'ERROR' ? colors.red : level === 'WARNING' ? colors.yellow : colors.dim;
  const prefix = about === null ? '' : `[${about}] `;
  cli.io.err(`${paint(`[${level}]`)} ${prefix}${message}\n`);
  if (hint !== null && cli.io.errTerminal) cli.io.err(`${colors.dim(`        ${hint}`)}\n`);
}
