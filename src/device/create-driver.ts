/** Which device driver a group uses. */
import { access } from 'node:fs/promises';
import type { GroupSettings } from '../model/settings.ts';
import type { DeviceDriver, DriverOptions } from './attach.ts';
import { ggatecDriver } from './ggatec.ts';
import { nbdClientDriver } from './nbd-client.ts';
import { nbdfuseLoopDriver } from './nbdfuse-loop.ts';
import { noneDriver } from './none.ts';

/**
 * `auto` is the kernel's NBD client where the module is loaded, nbdfuse elsewhere on Linux, ggatec on FreeBSD,
 * `none` without root and on other systems. Whatever attaches, what any driver left is found and detached: the setting may have
 * changed since (SAFETY D1).
 */
export async function createDeviceDriver(
  kind: GroupSettings['device'],
  options: DriverOptions,
): Promise<DeviceDriver> {
  const drivers = [nbdfuseLoopDriver(options), nbdClientDriver(options), ggatecDriver(options), noneDriver()];
  const wanted = kind === 'auto' ? await bestKind() : kind;
  const chosen = drivers.find((driver) => driver.kind === wanted) ?? noneDriver();
  return {
    kind: chosen.kind,
    attach: (attachOptions, signal) => chosen.attach(attachOptions, signal),
    detach: async (resource, signal) => {
      const trouble: string[] = [];
      for (const driver of drivers) trouble.push(...(await driver.detach(resource, signal)));
      return trouble;
    },
    holders: async (resource) =>
      (await Promise.all(drivers.map((driver) => driver.holders(resource)))).flat(),
    leftovers: async () => (await Promise.all(drivers.map((driver) => driver.leftovers()))).flat(),
  };
}

async function bestKind(): Promise<DeviceDriver['kind']> {
  if (process.getuid?.() !== 0) return 'none';
  if (process.platform === 'freebsd') return 'ggatec';
  if (process.platform !== 'linux') return 'none';
  const hasModule = await access('/sys/module/nbd').then(
    () => true,
    () => false,
  );
  return hasModule ? 'nbd-client' : 'nbdfuse-loop';
}
