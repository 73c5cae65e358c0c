/** What every command of the command line shares: options, files, the daemon, and where to print. */
import pc from 'picocolors';
import { EXIT } from './exit.ts';
import { controlClient } from './client.ts';
import type { ControlClient } from './client.ts';
import { formatDiagnostic } from '../config/diagnostics.ts';
import { loadHastConf } from '../config/hast-conf.ts';
import type { HastSettings } from '../model/settings.ts';

type Colors = ReturnType<typeof pc.createColors>;

export interface CliIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** The name that this program was called by: `hastate`, or `hastctl` through a link of that name. */
  readonly program: string;
  /** A person reads the output on a terminal. */
  readonly terminal: boolean;
  /** The same of the error output. */
  readonly errTerminal: boolean;
  /** Terminals may be coloured: nobody set NO_COLOR. */
  readonly color: boolean;
  /** From this call on, an interrupt aborts the signal instead of killing the program. */
  readonly interruption?: () => AbortSignal;
}

export interface GlobalOptions {
  readonly config: string;
  readonly hastate: string;
  readonly node?: string;
  readonly control?: string;
  readonly json?: boolean;
  /** How often `-d` was given. */
  readonly debug?: number;
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

  /** For the output: of a file or a pipe, none. */
  get colors(): Colors {
    return pc.createColors(this.io.terminal && this.io.color);
  }

  get errColors(): Colors {
    return pc.createColors(this.io.errTerminal && this.io.color);
  }

  get exitCode(): number {
    return this.code;
  }

  /** The first failure decides how the command exits. */
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

  /** The control socket of this node's daemon: --control, else what hast.conf says. @throws ConfigFileError */
  async controlPath(): Promise<string> {
    return this.options.control ?? (await this.hast()).control;
  }

  /** @throws ConfigFileError */
  async daemon(): Promise<ControlClient> {
    return controlClient(await this.controlPath());
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
