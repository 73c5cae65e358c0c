/** `hastate groups`: what fails over together, and what a failover would mean now. */
import type { Command } from 'commander';
import type pc from 'picocolors';
import type { Cli } from './cli.ts';
import { table } from './table.ts';
import type { AddressStatus, GroupStatus } from '../protocol/control.ts';

export function groupsCommand(program: Command, cli: Cli): void {
  program
    .command('groups')
    .description('print failover groups and what a failover would mean now')
    .option(
      '--clear-hold <group>',
      'let a group take part again at once that is held for too many elections or a failed start',
    )
    .action(async ({ clearHold }: { clearHold?: string }) => {
      const args = clearHold === undefined ? {} : { clearHold };
      const groups = (await (await cli.daemon()).request('groups', args)) as GroupStatus[];
      cli.print(groups, () => groupsText(groups, cli.colors));
    });
}

const HEADINGS = ['Group', 'Role', 'State', 'Address', 'Now'];

export function groupsText(
  groups: readonly GroupStatus[],
  colors: ReturnType<typeof pc.createColors>,
): string {
  if (groups.length === 0) return 'no groups: hastate.yaml has none, roles are set by hand\n';
  const rows = groups.map((group) => [group.name, group.role, group.state, addressText(group), group.badge]);
  const [heading = '', ...lines] = table([HEADINGS, ...rows])
    .trimEnd()
    .split('\n');
  const painted = lines.map((line, index) => {
    const role = groups[index]?.role;
    if (role === 'primary') return colors.green(line);
    return role === 'stuck' ? colors.red(line) : line;
  });
  return `${[colors.bold(heading), ...painted].join('\n')}\n`;
}

function addressText({ address }: GroupStatus): string {
  if (address === null) return '-';
  const { addresses, protocol, vhid, state, up } = address;
  const id = protocol.startsWith('vrrp') ? 'vrid' : 'vhid';
  const words = [`${addresses.join(' ')} ${id} ${vhid} ${state}${up ? '' : ' (down)'}`, ...troubles(address)];
  return words.join(', ');
}

/** What keeps the address from being elected here, in few words. */
function troubles({ faults, hold, demotion, says, waitsFor }: AddressStatus): string[] {
  const worse = Object.keys(demotion).filter((by) => (demotion[by] ?? 0) > 0);
  const as = says.protocol === 'carp' ? `advskew ${says.advskew}` : `priority ${says.priority}`;
  return [
    ...faults.map((by) => `without ${by}`),
    ...(hold === null ? [] : [`held: ${hold}`]),
    ...(waitsFor === null ? [] : [waitsFor]),
    ...(worse.length === 0 ? [] : [`${as} by ${worse.join(', ')}`]),
  ];
}
