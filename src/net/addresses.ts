/** Puts a group's addresses on an interface and takes them off again. One driver per system. */
import { NetError } from '../model/errors.ts';
import type { AddressDriver as DriverChoice, AddressOptions } from '../model/settings.ts';
import { addressOf, canonicalAddress } from '../protocol/ip-address.ts';
import { ifconfigCommands } from './ifconfig-addresses.ts';
import { ipCommands } from './ip-addresses.ts';
import { missingCapability } from './capabilities.ts';
import { interfaceAddresses } from './interfaces.ts';
import { directAddresses, type DirectAddresses } from './netlink-addresses.ts';
import type { NetLog } from './log.ts';
import { runCommand } from './run-command.ts';
import type { CommandResult, RunCommand } from './run-command.ts';

export interface AddressDriver {
  readonly kind: 'ip' | 'ifconfig' | 'simulated';
  /** Idempotent; the address is seen there when this resolves. @throws NetError `address-add` */
  add(cidr: string, iface: string): Promise<void>;
  /** Idempotent: also fine when the address or the interface is gone. @throws NetError `address-remove` */
  remove(cidr: string, iface: string): Promise<void>;
  /** CIDRs that are on the interface; none when there is no such interface. @throws NetError `address-list` */
  present(iface: string): Promise<string[]>;
  /** The interface that answers for the address while it is up, which is where to announce it. */
  readonly carrier: (cidr: string, iface: string) => string;
  /** Takes away what else an earlier life left, once its addresses are gone. */
  clear?(iface: string): Promise<void>;
  /** Commands that take the addresses off without this process; a failing one must not stop the others. */
  cleanupActions(cidrs: readonly string[], iface: string): string[][];
}

/** The commands of one system. */
export interface AddressCommands {
  readonly kind: 'ip' | 'ifconfig';
  add(cidr: string, iface: string, options: AddressOptions): string[];
  remove(cidr: string, iface: string): string[];
  list(iface: string): string[];
  /** Reads the output of `list`. */
  parse(output: string, iface: string): string[];
}

const USUAL: AddressOptions = { label: 'ha', deprecated: false, dad: false };

/**
 * @param choice `auto`: the system's own where we may, else `simulated`
 * @param run replaces the start of processes
 * @param options are asked for at every `add`
 */
export function createAddressDriver(
  choice: DriverChoice,
  log: NetLog,
  run: RunCommand = runCommand,
  options: () => AddressOptions = () => USUAL,
): AddressDriver {
  switch (choice === 'auto' ? automaticChoice(log) : choice) {
    case 'ip':
      return commandDriver(ipCommands, run, options, run === runCommand ? directAddresses() : null);
    case 'ifconfig':
      return commandDriver(ifconfigCommands, run, options);
    case 'simulated':
      return simulatedDriver(log);
  }
}

/** Takes off what an earlier life of the daemon left. Returns what was there. @throws as present and remove */
export async function removeLeftovers(
  driver: AddressDriver,
  cidrs: readonly string[],
  iface: string,
): Promise<string[]> {
  const ours = new Set(cidrs.map((cidr) => canonicalAddress(addressOf(cidr))));
  // With the prefix that they have: earlier settings may have had another.
  const left = (await driver.present(iface)).filter((cidr) => ours.has(addressOf(cidr)));
  for (const cidr of left) await driver.remove(cidr, iface);
  await driver.clear?.(iface);
  return left;
}

function automaticChoice(log: NetLog): AddressDriver['kind'] {
  if (process.platform === 'freebsd' && process.getuid?.() === 0) return 'ifconfig';
  // What counts is what `ip` gets when we start it.
  if (process.platform === 'linux' && missingCapability('CAP_NET_ADMIN', 'ambient') === null) return 'ip';
  const needed = process.platform === 'linux' ? 'root or CAP_NET_ADMIN as ambient capability' : 'root';
  log('warn', `not ${needed}: addresses are only simulated; set driver: ip if this user may change them`);
  return 'simulated';
}

function commandDriver(
  commands: AddressCommands,
  run: RunCommand,
  options: () => AddressOptions,
  direct: DirectAddresses | null = null,
): AddressDriver {
  // An add that was given up may still be running: what follows must come after it, not beside it.
  let tail: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(task: () => Promise<T>): Promise<T> => {
    const result = tail.then(task);
    tail = result.catch(() => undefined);
    return result;
  };
  const present = async (iface: string): Promise<string[]> => {
    const argv = commands.list(iface);
    const result = await run(argv);
    if (result.exitCode !== 0) throw failed('address-list', 'addresses cannot be listed', argv, result);
    return commands.parse(result.stdout, iface);
  };
  // Asking the system ourselves spares a process while clients wait; it does not tell of links that are down.
  const isThere = async (cidr: string, iface: string): Promise<boolean> =>
    interfaceAddresses(iface).includes(canonicalAddress(addressOf(cidr))) ||
    (await present(iface)).some((other) => addressOf(other) === canonicalAddress(addressOf(cidr)));

  return {
    kind: commands.kind,
    add: (cidr, iface) =>
      inOrder(async () => {
        if (direct?.add(cidr, iface, options()) === true) return;
        const argv = commands.add(cidr, iface, options());
        const result = await run(argv);
        if (result.exitCode !== 0) {
          throw failed('address-add', `address ${cidr} does not go on ${iface}`, argv, result);
        }
        if (await isThere(cidr, iface)) return;
        throw new NetError(
          'address-add',
          `address ${cidr} is not on ${iface} although \`${argv.join(' ')}\` said nothing; does another program manage ${iface}?`,
        );
      }),
    remove: (cidr, iface) =>
      inOrder(async () => {
        const isGone = (): boolean => !interfaceAddresses(iface).includes(canonicalAddress(addressOf(cidr)));
        // With another prefix it stays, and nothing is said about it.
        if (direct?.remove(cidr, iface) === true && isGone()) return;
        const argv = commands.remove(cidr, iface);
        const result = await run(argv);
        if (result.exitCode === 0 || !(await isThere(cidr, iface))) return;
        throw failed('address-remove', `address ${cidr} does not come off ${iface}`, argv, result);
      }),
    present: (iface) => inOrder(() => present(iface)),
    carrier: (_, iface) => iface,
    cleanupActions: (cidrs, iface) => cidrs.map((cidr) => commands.remove(cidr, iface)),
  };
}

function simulatedDriver(log: NetLog): AddressDriver {
  const up = new Map<string, Set<string>>();
  const on = (iface: string): Set<string> => {
    const known = up.get(iface) ?? new Set<string>();
    up.set(iface, known);
    return known;
  };
  return {
    kind: 'simulated',
    add: (cidr, iface) => {
      if (!on(iface).has(cidr)) log('info', `address ${cidr} on ${iface}: up (simulated)`);
      on(iface).add(cidr);
      return Promise.resolve();
    },
    remove: (cidr, iface) => {
      if (on(iface).delete(cidr)) log('info', `address ${cidr} on ${iface}: down (simulated)`);
      return Promise.resolve();
    },
    present: (iface) => Promise.resolve([...on(iface)]),
    carrier: (_, iface) => iface,
    cleanupActions: () => [],
  };
}

function failed(code: string, what: string, argv: readonly string[], result: CommandResult): NetError {
  const missing = missingCapability('CAP_NET_ADMIN', 'ambient');
  const said = result.stderr.trim() || `exit code ${result.exitCode}`;
  const todo =
    missing === null || code === 'address-list'
      ? ''
      : `; ${missing} is missing: run as root, or give it as ambient capability`;
  return new NetError(code, `${what}: \`${argv.join(' ')}\` says: ${said}${todo}`);
}
