/**
 * The base of every error that hastate raises itself. The message says what
 * happened, to what, and what to do; `code` is stable and may be matched on.
 */
export class HastateError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Bytes that are not what a wire or disk format allows. `offset` is in bytes from the start of the input. */
export class WireError extends HastateError {
  readonly offset: number;
  readonly field: string;

  constructor(code: string, offset: number, field: string, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
    this.offset = offset;
    this.field = field;
  }
}

/** What the operator wrote is wrong: a file, an option, a name. */
export class ConfigError extends HastateError {}

/** A disk, device or its metadata cannot be used. */
export class DiskError extends HastateError {}

/** A socket, address or peer misbehaves. */
export class NetError extends HastateError {}

/** A hook could not be found, trusted, run or ended. */
export class HookError extends HastateError {}

/** An engine command that the engine's role or state does not allow. */
export class EngineError extends HastateError {}

/** The text of anything that was thrown, with its causes, for a log line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause === undefined) return error.message;
  const cause = describeError(error.cause);
  // Many messages already hold the words of their cause.
  return error.message.includes(cause) ? error.message : `${error.message} (${cause})`;
}
