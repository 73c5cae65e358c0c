/** The command line from its words to its exit code. */
import { Command, CommanderError } from 'commander';
import type { HelpContext } from 'commander';
import { checkCommand } from './check.ts';
import { Cli } from './cli.ts';
import type { CliIo, GlobalOptions } from './cli.ts';
import { createCommand } from './create.ts';
import { dumpCommand } from './dump.ts';
import { eventsCommand } from './events.ts';
import { CliError, EXIT, exitCodeOf } from './exit.ts';
import { groupsCommand } from './groups.ts';
import { HASTCTL_COMMANDS, logLine, speakAsHastctl, usage } from './hastctl-style.ts';
import { fenceCommand } from './fence.ts';
import { maintenanceCommand, standbyCommand } from './holds.ts';
import { hooksCommand } from './hooks.ts';
import { promoteCommand } from './promote.ts';
import { resolveCommand } from './resolve.ts';
import { roleCommand } from './role.ts';
import { listCommand, statusCommand } from './status.ts';
import { reloadCommand } from './reload.ts';
import { simulateCommand } from './simulate.ts';
import { stopCommand } from './stop.ts';
import { verifyCommand } from './verify.ts';
import { switchoverCommand } from './switchover.ts';
import { whyNotCommand } from './why-not.ts';
import { ConfigFileError } from '../config/diagnostics.ts';
import { DEFAULT_HAST_CONF } from '../config/hast-conf.ts';
import { DEFAULT_HASTATE_YAML } from '../config/hastate-yaml.ts';
import { describeError, HastateError } from '../model/errors.ts';

const COMMANDS = [
  ...[
    statusCommand,
    listCommand,
    groupsCommand,
    whyNotCommand,
    switchoverCommand,
    promoteCommand,
    fenceCommand,
    standbyCommand,
    maintenanceCommand,
    resolveCommand,
    verifyCommand,
  ],
  ...[roleCommand, createCommand, dumpCommand, eventsCommand, checkCommand, hooksCommand],
  ...[reloadCommand, stopCommand, simulateCommand],
];

/** Words without a command are bad usage, which is told as hastctl tells it. */
class Program extends Command {
  readonly #tellUsage: () => void;

  constructor(name: string, tellUsage: () => void) {
    super(name);
    this.#tellUsage = tellUsage;
  }

  override outputHelp(context?: HelpContext | ((text: string) => string)): void {
    const options = typeof context === 'object' ? context : undefined;
    if (options?.error === true) this.#tellUsage();
    else super.outputHelp(options);
  }
}

/**
 * Runs one command.
 * @param args the words after the program's name
 * @returns the exit code; everything that went wrong was said in one line each, on `io.err`
 */
export async function run(args: readonly string[], io: CliIo): Promise<number> {
  const program = new Program(io.program, () => io.err(usage(io.program)));
  const cli = new Cli(io, () => program.opts<GlobalOptions>());
  let running = '';
  program
    .description('failover of replicated disks')
    .option('-c, --config <file>', 'hast.conf', DEFAULT_HAST_CONF)
    .option('-C, --hastate <file>', 'hastate.yaml', DEFAULT_HASTATE_YAML)
    .option('-n, --node <name>', "this node's name in both files")
    .option('--control <path>', "the daemon's socket, instead of hast.conf's")
    .option('--json', 'print for programs')
    .option('-d, --debug', 'tell more; where errors come from', (_, often: number) => often + 1, 0)
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .hook('preAction', (_, action) => {
      // `hooks list` is not hastctl's `list`.
      running = action.parent === program ? action.name() : '';
    });
  for (const register of COMMANDS) register(program, cli);
  for (const command of program.commands) {
    if (HASTCTL_COMMANDS.includes(command.name())) speakAsHastctl(command, cli);
  }
  program.helpOption('--help', 'display help').showHelpAfterError(usage(io.program).trimEnd());
  if (io.program === 'hastctl') speakAsHastctl(program, cli);
  try {
    await registerDemo(program, args);
    await program.parseAsync(args, { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (HASTCTL_COMMANDS.includes(running)) tellAsHastctl(cli, error);
    else io.err(`${explain(error, cli.options.debug ?? 0)}\n`);
    return exitCodeOf(error);
  }
}

function tellAsHastctl(cli: Cli, error: unknown): void {
  if (error instanceof ConfigFileError || !(error instanceof HastateError))
    cli.io.err(`${explain(error, cli.options.debug ?? 0)}\n`);
  else logLine(cli, 'ERROR', null, error.message, error instanceof CliError ? error.hint : null);
}

function explain(error: unknown, debug: number): string {
  if (debug > 0 && error instanceof Error) return error.stack ?? error.message;
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
