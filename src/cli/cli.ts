/** What every command of the command line shares: options, files, the daemon, and where to print. */
import { EXIT } from './exit.ts';
import { controlClient } from './client.ts';
import type { ControlClient } from './client.ts';
import { formatDiagnostic } from '../config/diagnostics.ts';
import { loadHastConf } from '../config/hast-conf.ts';
import type { HastSettings } from '../model/settings.ts';

export interface CliIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** A person reads the output on a terminal. */
  readonly terminal: boolean;
  /** From this call on, an interrupt aborts the signal instead of killing the program. */
  readonly interruption?: () => AbortSignal;
}

export interface GlobalOptions {
  readonly config: string;
  readonly hastate: string;
  readonly node?: string;
  readonly control?: string;
  readonly json?: boolean;
}

export class Cli {
  readonly io: CliIo;
  private readonly read: () => GlobalOptions;
  private code: number = EXIT.ok;

  /** @param read the global options, once they are parsed */
  constructor(io: CliIo, read: () => GlobalOptions) {
    this.io = io;
    this.read = read;
  }

  get options(): GlobalOptions {
    return this.read();
  }

  get exitCode(): number {
    return this.code;
  }

  /** The first failure decides how the command exits. */
  fail(code: number, message: string): void {
    this.io.err(`hastate: ${message}\n`);
    this.exitWith(code);
  }

  exitWith(code: number): void {
    if (this.code === EXIT.ok) this.code = code;
  }

  /** `text` for people, or with --json `value` for programs. */
  print(value: unknown, text: () => string): void {
    this.io.out(this.options.json === true ? `${toJson(value)}\n` : text());
  }

  /** @throws ConfigFileError */
  hast(): Promise<HastSettings> {
    const { config, node } = this.options;
    const onWarning = (warning: Parameters<typeof formatDiagnostic>[0]): void =>
      this.io.err(`${formatDiagnostic(warning)}\n`);
    return loadHastConf(config, { node, onWarning });
  }

  /** The daemon of this node: at --control, else where hast.conf says. @throws ConfigFileError */
  async daemon(): Promise<ControlClient> {
    return controlClient(this.options.control ?? (await this.hast()).control);
  }
}

/** Large counters become strings: JSON readers would round them. */
export function toJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member),
    2,
  );
}
