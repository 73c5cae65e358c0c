/** The command line from its words to its exit code. */
import { Command, CommanderError } from 'commander';
import { checkCommand } from './check.ts';
import { Cli } from './cli.ts';
import type { CliIo, GlobalOptions } from './cli.ts';
import { createCommand } from './create.ts';
import { dumpCommand } from './dump.ts';
import { eventsCommand } from './events.ts';
import { EXIT, exitCodeOf } from './exit.ts';
import { groupsCommand } from './groups.ts';
import { promoteCommand } from './promote.ts';
import { roleCommand } from './role.ts';
import { listCommand, statusCommand } from './status.ts';
import { reloadCommand } from './reload.ts';
import { stopCommand } from './stop.ts';
import { switchoverCommand } from './switchover.ts';
import { whyNotCommand } from './why-not.ts';
import { ConfigFileError } from '../config/diagnostics.ts';
import { DEFAULT_HAST_CONF } from '../config/hast-conf.ts';
import { DEFAULT_HASTATE_YAML } from '../config/hastate-yaml.ts';
import { describeError, HastateError } from '../model/errors.ts';

const COMMANDS = [
  ...[statusCommand, listCommand, groupsCommand, whyNotCommand, switchoverCommand, promoteCommand],
  ...[roleCommand, createCommand, dumpCommand, eventsCommand, checkCommand, reloadCommand, stopCommand],
];

/**
 * Runs one command.
 * @param args the words after the program's name
 * @returns the exit code; everything that went wrong was said in one line each, on `io.err`
 */
export async function run(args: readonly string[], io: CliIo): Promise<number> {
  const program = new Command('hastate');
  const cli = new Cli(io, () => program.opts<GlobalOptions>());
  program
    .description('failover of replicated disks')
    .option('-c, --config <file>', 'hast.conf', DEFAULT_HAST_CONF)
    .option('-C, --hastate <file>', 'hastate.yaml', DEFAULT_HASTATE_YAML)
    .option('-n, --node <name>', "this node's name in both files")
    .option('--control <path>', "the daemon's socket, instead of hast.conf's")
    .option('--json', 'print for programs')
    .option('-d, --debug', 'print where errors come from')
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err });
  for (const register of COMMANDS) register(program, cli);
  try {
    await registerDemo(program, args);
    await program.parseAsync(args, { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    io.err(`${explain(error, program.opts<{ debug?: boolean }>().debug === true)}\n`);
    return exitCodeOf(error);
  }
}

function explain(error: unknown, debug: boolean): string {
  if (debug && error instanceof Error) return error.stack ?? error.message;
  // Diagnostics say their place first, so that editors find it.
  if (error instanceof ConfigFileError) return error.message;
  if (error instanceof HastateError) return `hastate: ${error.message}`;
  return `hastate: unexpected: ${describeError(error)}; run it again with -d and report what it prints`;
}

/** Whole nodes are behind `demo`, so it is loaded only when asked for. */
async function registerDemo(program: Command, args: readonly string[]): Promise<void> {
  if (!args.includes('demo')) {
    program.command('demo').description('run two nodes on this machine and fail one over');
    return;
  }
  const { demoCommand } = await import('./demo/command.ts');
  demoCommand(program);
  // Of an option that both have, commander tells only the program.
  program.hook('preAction', (_program, action) => {
    if (program.opts<GlobalOptions>().json === true) action.setOptionValue('json', true);
  });
}
