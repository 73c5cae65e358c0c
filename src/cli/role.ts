/** `hastate role`: gives resources a role by hand. */
import type { Command } from 'commander';
import { Argument } from 'commander';
import type { Cli } from './cli.ts';
import type { ControlClient } from './client.ts';
import { logLine } from './hastctl-style.ts';
import { meet, tellHastd } from './meet.ts';
import { HAST_ROLES } from '../model/roles.ts';
import type { HastRole } from '../model/roles.ts';
import type { RoleResult } from '../protocol/control.ts';
import { HASTCTL_CMD, HASTCTL_ERROR } from '../protocol/hastctl.ts';

/** The daemon allows a minute for each resource. */
const EACH_MS = 65_000;
const MOST_RESOURCES = 10;

export function roleCommand(program: Command, cli: Cli): void {
  program
    .command('role')
    .description('change the role of resources')
    .addArgument(new Argument('<role>', 'the new role').choices(HAST_ROLES))
    .argument('<name...>', 'resources, or all')
    .action(async (role: HastRole, resources: string[]) => {
      const timeoutMs = EACH_MS * (resources[0] === 'all' ? MOST_RESOURCES : resources.length);
      const met = await meet(cli, resources);
      const results =
        'daemon' in met
          ? await giveRole(met.daemon, role, resources, timeoutMs)
          : await letHastdGive(met.hastd.path, role, resources, timeoutMs);
      if (cli.options.json === true) cli.print(results, () => '');
      for (const result of results) tell(cli, role, result);
    });
}

async function giveRole(
  daemon: ControlClient,
  role: HastRole,
  resources: string[],
  timeoutMs: number,
): Promise<RoleResult[]> {
  return (await daemon.request('role', { role, resources }, timeoutMs)) as RoleResult[];
}

async function letHastdGive(
  path: string,
  role: HastRole,
  resources: string[],
  timeoutMs: number,
): Promise<RoleResult[]> {
  const reply = await tellHastd(path, { cmd: HASTCTL_CMD.SETROLE, role, resources }, timeoutMs);
  if (reply.kind !== 'setrole') return [];
  return reply.resources.map((one) =>
    'error' in one
      ? {
          resource: one.name,
          previous: null,
          error: `hastd says error ${one.error}`,
          code: 'hastd',
          number: one.error,
        }
      : { resource: one.name, previous: one.previousRole, error: null, code: null, number: 0 },
  );
}

/** The first error is the exit code. Whoever can tell a reason is asked for more than hastctl shows. */
function tell(cli: Cli, role: HastRole, { resource, previous, error, code, number }: RoleResult): void {
  const { debug = 0, json } = cli.options;
  if (number !== 0) {
    const unknown = number === HASTCTL_ERROR.NO_ENTRY;
    logLine(cli, 'WARNING', resource, `Received error ${number} from hastd.`, unknown ? error : null);
    if (!unknown && code !== 'hastd' && error !== null) logLine(cli, 'WARNING', resource, error);
    cli.exitWith(number);
    return;
  }
  if (json === true) return;
  if (previous === role) {
    if (debug >= 2) cli.io.out(`[DEBUG][2] [${resource}] Role unchanged (${role}).\n`);
  } else if (debug >= 1)
    cli.io.out(`[DEBUG][1] [${resource}] Role changed from ${previous ?? '-'} to ${role}.\n`);
}
