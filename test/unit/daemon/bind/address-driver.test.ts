import { describe, expect, it } from 'vitest';

import { parseHastConf, resolveHastConf } from '../../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../../src/config/hastate-yaml.ts';
import { driverOf } from '../../../../src/daemon/bind/address-driver.ts';
import type { AddressSettings } from '../../../../src/model/settings.ts';

function settings(more: string): AddressSettings {
  const identity = { hostname: 'hasta', hostuuid: null, hostid: null };
  const conf = 'resource disk1 { on hasta { local /1 remote none } on hastb { local /1 remote none } }';
  const hast = resolveHastConf(parseHastConf(conf, 'hast.conf'), { identity });
  const yaml = `nodes: { hasta: { peer: a }, hastb: { peer: b } }
insecure: true
groups: { g: { resources: [disk1], address: { vhid: 7, interface: lo, addresses: [10.0.0.1/24], ${more} } } }`;
  const address = parseHastate(yaml, 'hastate.yaml', hast, { onWarning: () => undefined }).groups[0]?.address;
  if (address == null) throw new Error('no address');
  return address;
}
const quiet = (): void => undefined;

describe('the driver of a group', () => {
  it.each([
    ['carp', '00:00:5e:00:01:id', 1],
    ['vrrp3', '00:00:5e:00:01:id and 02:id', 2],
  ])('puts %s addresses behind %s when virtual-mac says so', (protocol, _, links) => {
    const driver = driverOf(
      'g',
      () => settings(`protocol: ${protocol}, driver: ip, virtual-mac: true`),
      quiet,
    );
    const removed = driver.cleanupActions([], 'lo').filter((argv) => argv.includes('link'));
    expect(removed).toHaveLength(links);
    expect(driver.carrier('10.0.0.1/24', 'lo')).toMatch(/^ha7\.\d+v4$/);
  });

  it('says that only Linux has virtual MACs when the system has another driver', () => {
    const wanted = { ...settings('driver: ip, virtual-mac: true'), driver: 'ifconfig' } as const;
    expect(() => driverOf('g', () => wanted, quiet)).toThrow(
      /group g: 'virtual-mac' needs macvlan interfaces, which only Linux has/,
    );
  });

  it('leaves simulated addresses without one', () => {
    const driver = driverOf('g', () => settings('driver: simulated, virtual-mac: true'), quiet);
    expect([driver.kind, driver.carrier('10.0.0.1/24', 'lo')]).toEqual(['simulated', 'lo']);
  });
});
