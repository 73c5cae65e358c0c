/**
 * Lets a group's addresses live behind the virtual MAC of their vhid or vrid, so that no neighbour has to learn a
 * new one: on a macvlan interface on top of the real one; VRRP has another MAC, and so another interface, for IPv6.
 * Linux.
 * @see carp-vrrp 1.8, 2.1
 */
import { NetError } from '../model/errors.ts';
import { addressOf } from '../protocol/ip-address.ts';
import type { AddressDriver } from './addresses.ts';
import { interfaceIndex } from './interfaces.ts';
import type { RunCommand } from './run-command.ts';

type Family = 4 | 6;
const FAMILIES = { carp: [4], vrrp: [4, 6] } as const;

/** What an id is of. */
export interface VirtualRouter {
  readonly protocol: keyof typeof FAMILIES;
  /** vhid or vrid */
  readonly id: number;
}

/** 00:00:5e:00:01:id; for IPv6 with VRRP 00:00:5e:00:02:id. */
function virtualMac(id: number, family: Family): string {
  return `00:00:5e:00:0${family === 4 ? 1 : 2}:${id.toString(16).padStart(2, '0')}`;
}

/**
 * @param base puts addresses on the macvlan interfaces
 * @param indexOf replaces the look at the system
 */
export function withVirtualMac(
  base: AddressDriver,
  { protocol, id }: VirtualRouter,
  run: RunCommand,
  indexOf: (iface: string) => number = interfaceIndex,
): AddressDriver {
  const nameOf = (iface: string, family: Family): string => `ha${id}.${indexOf(iface)}v${family}`;
  const familyOf = (cidr: string): Family => (protocol === 'vrrp' && cidr.includes(':') ? 6 : 4);
  const carrier = (cidr: string, iface: string): string => nameOf(iface, familyOf(cidr));

  const must = async (argv: readonly string[]): Promise<void> => {
    const result = await run(argv);
    if (result.exitCode === 0) return;
    const said = result.stderr.trim() || `exit code ${result.exitCode}`;
    throw new NetError('virtual-mac', `no virtual MAC: \`${argv.join(' ')}\` says: ${said}`);
  };
  const exists = async (name: string): Promise<boolean> =>
    (await run(['ip', 'link', 'show', 'dev', name])).exitCode === 0;

  const make = async (iface: string, family: Family): Promise<string> => {
    const name = nameOf(iface, family);
    if (await exists(name)) return name;
    const link = ['ip', 'link', 'add', 'link', iface, 'name', name, 'address', virtualMac(id, family)];
    await must([...link, 'type', 'macvlan', 'mode', 'private']);
    try {
      await must(['ip', 'link', 'set', 'dev', name, 'addrgenmode', 'none']);
      for (const setting of settingsOf(iface, name)) await must(['sysctl', '-qw', setting]);
      await must(['ip', 'link', 'set', 'dev', name, 'up']);
    } catch (error) {
      await run(['ip', 'link', 'del', 'dev', name]);
      throw error;
    }
    return name;
  };
  const unmake = async (name: string): Promise<void> => {
    if (!(await exists(name))) return;
    if ((await base.present(name)).length > 0) return;
    await must(['ip', 'link', 'del', 'dev', name]);
  };
  const linksOf = (iface: string): string[] => FAMILIES[protocol].map((family) => nameOf(iface, family));

  return {
    kind: base.kind,
    add: async (cidr, iface) => {
      await base.add(hostOnly(cidr), await make(iface, familyOf(cidr)));
    },
    remove: async (cidr, iface) => {
      const name = carrier(cidr, iface);
      await base.remove(hostOnly(cidr), name);
      await unmake(name);
      // An earlier life may have had none.
      await base.remove(cidr, iface);
    },
    present: async (iface) => {
      const found = [];
      for (const place of [...linksOf(iface), iface]) found.push(...(await base.present(place)));
      return found;
    },
    carrier,
    // Also empty ones: an earlier life may have ended between two commands.
    clear: async (iface) => {
      for (const name of linksOf(iface)) await unmake(name);
    },
    cleanupActions: (cidrs, iface) => [
      ...linksOf(iface).map((name) => ['ip', 'link', 'del', 'dev', name]),
      ...base.cleanupActions(cidrs, iface),
    ],
  };
}

/** The network of the address is that of the real interface, and stays reached by it. */
function hostOnly(cidr: string): string {
  return `${addressOf(cidr)}/${cidr.includes(':') ? 128 : 32}`;
}

/** Only the virtual interface answers for its addresses, and it takes what the routes expect on the real one. */
function settingsOf(iface: string, name: string): string[] {
  // A dot in the name of an interface is a slash to sysctl.
  const [real, virtual] = [iface, name].map((part) => part.replaceAll('.', '/'));
  return [
    `net.ipv4.conf.${real ?? ''}.arp_ignore=1`,
    // Questions that the real interface asks must not name an address that lives behind the virtual one.
    `net.ipv4.conf.${real ?? ''}.arp_announce=2`,
    `net.ipv4.conf.${virtual ?? ''}.arp_ignore=1`,
    `net.ipv4.conf.${virtual ?? ''}.rp_filter=2`,
    `net.ipv6.conf.${virtual ?? ''}.accept_ra=0`,
  ];
}
