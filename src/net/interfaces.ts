/** What this machine's interfaces are called, numbered and addressed. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

import { NetError } from '../model/errors.ts';

/** @throws NetError `interface-missing` */
export function interfaceIndex(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
  } catch (cause) {
    const scoped = networkInterfaces()[name]?.find((address) => address.family === 'IPv6');
    if (scoped?.family === 'IPv6' && scoped.scopeid > 0) return scoped.scopeid;
    throw new NetError('interface-missing', `interface ${name} is not there; check its name`, { cause });
  }
}

/** Addresses of one interface, also those with a label, without prefix lengths and zones. */
export function interfaceAddresses(name: string): string[] {
  return Object.entries(networkInterfaces()).flatMap(([key, all = []]) =>
    key === name || key.startsWith(`${name}:`) ? all.map(({ address }) => address) : [],
  );
}

/** The hardware address as 6 bytes; null where there is none. */
export function hardwareAddress(name: string): Buffer | null {
  const mac = hardwareAddressText(name);
  return mac === null || mac === '00:00:00:00:00:00' ? null : Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function hardwareAddressText(name: string): string | null {
  try {
    return readFileSync(`/sys/class/net/${name}/address`, 'latin1').trim();
  } catch {
    // An interface all of whose addresses have labels is found on Linux by the labels only.
    return networkInterfaces()[name]?.[0]?.mac ?? null;
  }
}

/** Of all interfaces of this machine that have an address. */
export function ownHardwareAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ mac }) => mac)));
}
