/** What is wrong in a configuration file, where, and what to do about it. */
import { ConfigError } from '../model/errors.ts';

/** A place in a file; line and column count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Diagnostic extends Position {
  readonly file: string;
  /** What is so. */
  readonly message: string;
  /** What to do about it, or null when the message already says it. */
  readonly hint: string | null;
  readonly severity: 'error' | 'warning';
}

/** `file:line:column: what; what to do`, in one line. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { file, line, column, message, hint, severity } = diagnostic;
  const label = severity === 'warning' ? 'warning: ' : '';
  return `${file}:${line}:${column}: ${label}${message}${hint === null ? '' : `; ${hint}`}`;
}

/**
 * A configuration file that cannot be opened (`config-missing`) or that is wrong
 * (`config-invalid`). The message is all its errors, one a line.
 */
export class ConfigFileError extends ConfigError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(
    code: 'config-missing' | 'config-invalid',
    diagnostics: readonly Diagnostic[],
    options?: { cause?: unknown },
  ) {
    super(code, diagnostics.map(formatDiagnostic).join('\n'), options);
    this.diagnostics = diagnostics;
  }
}

/** Collects what is found in one file. */
export class DiagnosticList {
  readonly file: string;
  readonly all: Diagnostic[] = [];

  constructor(file: string) {
    this.file = file;
  }

  error(at: Position, message: string, hint: string | null = null): void {
    this.add(at, message, hint, 'error');
  }

  warning(at: Position, message: string, hint: string | null = null): void {
    this.add(at, message, hint, 'warning');
  }

  /** The same thing found twice, e.g. a bad default that two sections inherit, is said once. */
  private add(at: Position, message: string, hint: string | null, severity: Diagnostic['severity']): void {
    const { line, column } = at;
    const known = this.all.some(
      (one) => one.line === line && one.column === column && one.message === message,
    );
    if (!known) this.all.push({ file: this.file, line, column, message, hint, severity });
  }

  get warnings(): Diagnostic[] {
    return this.all.filter((diagnostic) => diagnostic.severity === 'warning');
  }

  get errors(): Diagnostic[] {
    return this.all.filter((diagnostic) => diagnostic.severity === 'error').sort(byPosition);
  }

  /** @throws ConfigFileError `config-invalid` when there is an error */
  throwIfErrors(): void {
    if (this.errors.length > 0) throw new ConfigFileError('config-invalid', this.errors);
  }
}

function byPosition(a: Position, b: Position): number {
  return a.line - b.line || a.column - b.column;
}
