/** Runs a system tool, bounded in time and output. */
import { execa } from 'execa';
import { DiskError } from '../model/errors.ts';

const MAX_OUTPUT_CHARACTERS = 64 * 1024;

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Resolves with trimmed standard output. */
export type RunCommand = (argv: readonly string[], options: CommandOptions) => Promise<string>;

/**
 * After `timeoutMs` the tool is killed and no longer waited for: one that hangs in the kernel
 * cannot be killed either.
 * @throws DiskError `command-missing`, `command-timeout`, `command-failed` with what the tool said; the signal's reason
 */
export const runCommand: RunCommand = async (argv, { timeoutMs, signal }) => {
  const [file = '', ...args] = argv;
  signal?.throwIfAborted();
  const subprocess = execa(file, args, {
    reject: false,
    stdin: 'ignore',
    cwd: '/',
    maxBuffer: MAX_OUTPUT_CHARACTERS,
    env: { LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  const ended = subprocess.then((result) => {
    if (result.exitCode === 0) return result.stdout.trim();
    if (result.code === 'ENOENT') {
      throw new DiskError(
        'command-missing',
        `${file} is not installed; install it or choose another device driver`,
      );
    }
    const said = [result.stderr, result.stdout, result.shortMessage].find((text) => text?.trim());
    throw new DiskError('command-failed', `${argv.join(' ')}: ${said}`);
  });
  try {
    return await bounded(ended, timeoutMs, argv.join(' '), signal);
  } catch (error) {
    subprocess.kill('SIGKILL');
    subprocess.unref();
    throw error;
  }
};

/**
 * The same promise, but for `timeoutMs` at most.
 * @throws DiskError `command-timeout`; the signal's reason
 */
export async function bounded<T>(
  promise: Promise<T>,
  timeoutMs: number,
  what: string,
  signal?: AbortSignal,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let abort = (): void => undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    const late = (): void =>
      reject(new DiskError('command-timeout', `${what}: no end within ${timeoutMs} ms`));
    timer = setTimeout(late, timeoutMs);
    abort = () => reject(signal?.reason instanceof Error ? signal.reason : new DiskError('aborted', what));
    signal?.addEventListener('abort', abort);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
