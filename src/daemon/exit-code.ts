/** The numbers that hastated ends with: sysexits(3), as hastd uses them. */
import { HastateError } from '../model/errors.ts';

export const EXIT = {
  usage: 64,
  software: 70,
  osError: 71,
  osFile: 72,
  cannotCreate: 73,
  tempFail: 75,
  config: 78,
} as const;

const BY_CODE: Readonly<Record<string, number>> = {
  'config-missing': EXIT.osFile,
  'timing-unsafe': EXIT.config,
  'cannot-create': EXIT.cannotCreate,
  'already-running': EXIT.tempFail,
  'control-path-too-long': EXIT.config,
  // As hastd ends when it cannot listen.
  'control-in-use': EXIT.osError,
  'control-path-taken': EXIT.osError,
  'control-listen': EXIT.osError,
  'start-failed': EXIT.osError,
};

export function exitCode(error: unknown): number {
  if (!(error instanceof HastateError)) return EXIT.software;
  return BY_CODE[error.code] ?? (error.code.startsWith('config') ? EXIT.config : EXIT.software);
}

/**
 * Ends this process after `ms` whatever still runs: a stop that hangs is no stop. An exit would wait for the threads
 * that a hanging disk keeps.
 */
export function exitLate(ms: number): void {
  setTimeout(() => {
    process.stderr.write(`hastated: not down ${ms / 1000} s after it was told to stop: ends as it is\n`);
    process.kill(process.pid, 'SIGKILL');
  }, ms).unref();
}
