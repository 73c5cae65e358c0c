/** Exit codes, as hastctl and sysexits(3) have them. */
import { ControlError } from './client.ts';
import { ConfigFileError } from '../config/diagnostics.ts';
import { HastateError } from '../model/errors.ts';

export const EXIT = {
  ok: 0,
  unknownName: 1,
  usage: 64,
  data: 65,
  noInput: 66,
  unavailable: 69,
  software: 70,
  os: 71,
  osFile: 72,
  io: 74,
  config: 78,
  /** What hastctl's -1 becomes. */
  dumpFailed: 255,
} as const;

/** A failure of the command line itself, with the exit code that it means. */
export class CliError extends HastateError {
  readonly exitCode: number;
  /** What to do, where hastctl's words in `message` do not say it. */
  readonly hint: string | null;

  constructor(
    exitCode: number,
    message: string,
    { hint = null, ...options }: { cause?: unknown; hint?: string | null } = {},
  ) {
    super(`exit-${exitCode}`, message, options);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

const BY_CODE: Readonly<Record<string, number>> = {
  'fault-unknown': EXIT.usage,
  'config-missing': EXIT.osFile,
  'config-invalid': EXIT.config,
  'control-unreachable': EXIT.os,
  'control-lost': EXIT.unavailable,
  'control-timeout': EXIT.unavailable,
  'control-reply': EXIT.unavailable,
  'unknown-resource': EXIT.unknownName,
  'unknown-group': EXIT.unknownName,
  'unknown-node': EXIT.unknownName,
  'bad-argument': EXIT.usage,
  'bad-role': EXIT.usage,
};

/** The exit code of a stable error code of the daemon or of ours. */
export function exitCodeOfCode(code: string): number {
  return BY_CODE[code] ?? EXIT.software;
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof ConfigFileError || error instanceof ControlError) return exitCodeOfCode(error.code);
  return EXIT.software;
}
