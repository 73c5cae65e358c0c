/** FreeBSD: `ifconfig`. The kernel announces a new address by itself. */
import { addressOf } from '../protocol/ip-address.ts';
import type { AddressCommands } from './addresses.ts';

const family = (cidr: string): string => (cidr.includes(':') ? 'inet6' : 'inet');

export const ifconfigCommands: AddressCommands = {
  kind: 'ifconfig',
  add: (cidr, iface, { deprecated, dad }) => [
    ...['ifconfig', iface, family(cidr), cidr],
    ...(cidr.includes(':') ? [...(dad ? [] : ['no_dad']), ...(deprecated ? ['deprecated'] : [])] : []),
    'alias',
  ],
  remove: (cidr, iface) => ['ifconfig', iface, family(cidr), addressOf(cidr), '-alias'],
  // Every interface, so that a missing one is an empty answer and no error.
  list: () => ['ifconfig', '-a'],
  parse: (output, iface) => {
    const section = output.split(/^(?=\S)/m).find((text) => text.startsWith(`${iface}:`));
    return (section ?? '').split('\n').flatMap((line) => {
      const v4 = /^\s+inet (\S+) netmask 0x([0-9a-f]{8})/.exec(line);
      if (v4?.[1] !== undefined && v4[2] !== undefined) return [`${v4[1]}/${prefixOf(v4[2])}`];
      const v6 = /^\s+inet6 ([^\s%]+)\S* prefixlen (\d+)/.exec(line);
      return v6?.[1] !== undefined && v6[2] !== undefined ? [`${v6[1]}/${v6[2]}`] : [];
    });
  },
};

function prefixOf(netmaskHex: string): number {
  return Number.parseInt(netmaskHex, 16).toString(2).replaceAll('0', '').length;
}
