/** Runs the system's own programs, bounded in time. */
import { execa } from 'execa';

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; never throws. */
export type RunCommand = (argv: readonly string[]) => Promise<CommandResult>;

const TIMEOUT_MS = 5000;

/** With a plain environment; 255 where it could not be started or took longer than 5 s. */
export async function runCommand(argv: readonly string[]): Promise<CommandResult> {
  const [command = '', ...args] = argv;
  const result = await execa(command, args, {
    reject: false,
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    stdin: 'ignore',
    maxBuffer: 1 << 20,
    env: { LC_ALL: 'C' },
  });
  return {
    exitCode: result.exitCode ?? 255,
    stdout: result.stdout,
    stderr: result.stderr === '' ? (result.shortMessage ?? '') : result.stderr,
  };
}
