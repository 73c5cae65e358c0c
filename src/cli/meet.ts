/** Who answers on the control socket: a hastated, or a stock hastd with which we speak as hastctl. */
import type { Cli } from './cli.ts';
import { controlClient, ControlError } from './client.ts';
import type { ControlClient } from './client.ts';
import { CliError, EXIT } from './exit.ts';
import { askHastd } from './hastd.ts';
import { systemText } from '../config/files.ts';
import { HASTCTL_CMD } from '../protocol/hastctl.ts';
import type { HastctlReply, HastctlRequest } from '../protocol/hastctl.ts';

/** hastd answers one client at a time, and somebody's change of a role can take long. */
const REPLY_MS = 60_000;

export interface Stranger {
  readonly path: string;
  /** What hastd said to the status that was asked with the introduction. */
  readonly said: HastctlReply;
}

export type Met = { readonly daemon: ControlClient } | { readonly hastd: Stranger };

/**
 * Introduces itself with a status request, which a hastd answers like any other: nothing shows in
 * its log, and a status need not be asked again.
 * @param names resources to ask for; none for all
 * @throws CliError 71 nobody there, 69 no answer; both in hastctl's words
 */
export async function meet(cli: Cli, names: readonly string[]): Promise<Met> {
  const path = await cli.controlPath();
  const resources = names.length === 0 ? ['all'] : names;
  const said = await inHastctlsWords(path, {
    cmd: HASTCTL_CMD.STATUS,
    role: null,
    resources,
    introduces: true,
  });
  return said.kind === 'hastate' ? { daemon: controlClient(path) } : { hastd: { path, said } };
}

/** @throws CliError as `meet`; 70 when hastd refuses the whole request */
export async function tellHastd(
  path: string,
  request: HastctlRequest,
  timeoutMs = REPLY_MS,
): Promise<HastctlReply> {
  return orRefused(await inHastctlsWords(path, request, timeoutMs));
}

/** @throws CliError 70 */
export function orRefused(reply: HastctlReply): HastctlReply {
  if (reply.kind === 'error') throw new CliError(EXIT.software, `Error ${reply.error} received from hastd.`);
  return reply;
}

async function inHastctlsWords(
  path: string,
  request: HastctlRequest,
  timeoutMs = REPLY_MS,
): Promise<HastctlReply> {
  try {
    return await askHastd(path, request, timeoutMs);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    const cause = error.cause instanceof Error ? `: ${capitalized(systemText(error.cause))}.` : '.';
    const [code, what] =
      error.code === 'control-unreachable'
        ? [EXIT.os, `Unable to connect to hastd via ${path}${cause}`]
        : [EXIT.unavailable, `cannot receive reply from hastd via ${path}${cause}`];
    throw new CliError(code, what, { cause: error, hint: error.message });
  }
}

/** strerror's words begin with a capital. */
export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
