/** Whether an interface carries and has an address to send from. */
import { readFile } from 'node:fs/promises';

import { interfaceAddresses } from './interfaces.ts';
import { runCommand } from './run-command.ts';

export interface LinkState {
  readonly up: boolean;
  /** What is the matter, or that nothing is. */
  readonly reason: string;
}

const UP_FLAG = 0x1;

/**
 * @param families address families that need an own address there; empty = none
 * @param shared addresses that move (without prefix length): they do not count
 */
export async function readLink(
  iface: string,
  families: readonly (4 | 6)[] = [],
  shared: ReadonlySet<string> = new Set(),
): Promise<LinkState> {
  const fault = process.platform === 'freebsd' ? await faultOnFreeBSD(iface) : await faultOnLinux(iface);
  if (fault !== null) return { up: false, reason: `${iface} ${fault}` };
  const own = interfaceAddresses(iface).filter((address) => !shared.has(address));
  if (families.includes(4) && !own.some((address) => !address.includes(':'))) {
    return { up: false, reason: `${iface} has no IPv4 address of its own` };
  }
  if (families.includes(6) && !own.some((address) => address.startsWith('fe80:'))) {
    return { up: false, reason: `${iface} has no link-local IPv6 address of its own` };
  }
  return { up: true, reason: `${iface} is up` };
}

async function faultOnLinux(iface: string): Promise<string | null> {
  const about = (file: string): Promise<string> => readFile(`/sys/class/net/${iface}/${file}`, 'utf8');
  try {
    if ((Number(await about('flags')) & UP_FLAG) === 0) return 'is switched off';
  } catch {
    return 'is not there';
  }
  // Not operstate: the kernel may tell a lost carrier there a second later. Fails while it is switched off.
  const carrier = await about('carrier').catch(() => '0');
  return carrier.trim() === '1' ? null : 'has no carrier';
}

async function faultOnFreeBSD(iface: string): Promise<string | null> {
  const { exitCode, stdout } = await runCommand(['ifconfig', iface]);
  if (exitCode !== 0) return 'is not there';
  if (!/^\S+: flags=\w+<(?:\w+,)*UP[,>]/m.test(stdout)) return 'is switched off';
  return /^\s+status: (?!active|associated|running)/m.test(stdout) ? 'has no carrier' : null;
}
