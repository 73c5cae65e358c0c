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

/** Addresses of one interface, without prefix lengths and zones. */
export function interfaceAddresses(name: string): string[] {
  return (networkInterfaces()[name] ?? []).map(({ address }) => address);
}

/** The hardware address as 6 bytes; null where there is none. */
export function hardwareAddress(name: string): Buffer | null {
  const mac = networkInterfaces()[name]?.[0]?.mac;
  return mac === undefined || mac === '00:00:00:00:00:00'
    ? null
    : Buffer.from(mac.replaceAll(':', ''), 'hex');
}
