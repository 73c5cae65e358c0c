/** The driver of one group's addresses, as its settings want it. */
import { NetError } from '../../model/errors.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { type AddressDriver, createAddressDriver } from '../../net/addresses.ts';
import type { NetLog } from '../../net/log.ts';
import { runCommand } from '../../net/run-command.ts';
import { withVirtualMac } from '../../net/virtual-mac.ts';

/**
 * @param current fetches the settings as they are by then: a reload changes them
 * @throws NetError `virtual-mac` where this system has none
 */
export function driverOf(group: string, current: () => AddressSettings, log: NetLog): AddressDriver {
  const settings = current();
  const driver = createAddressDriver(settings.driver, log, runCommand, () => current().options);
  if (!settings.virtualMac) return driver;
  if (driver.kind === 'ip') {
    const protocol = settings.protocol === 'carp' ? 'carp' : 'vrrp';
    return withVirtualMac(driver, { protocol, id: settings.vhid }, runCommand);
  }
  if (driver.kind === 'simulated') return driver;
  throw new NetError(
    'virtual-mac',
    `group ${group}: 'virtual-mac' needs macvlan interfaces, which only Linux has: remove it, or let the kernel elect with protocol kernel-carp`,
  );
}
