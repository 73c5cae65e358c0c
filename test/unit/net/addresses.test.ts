import { describe, expect, it } from 'vitest';

import { createAddressDriver, removeLeftovers } from '../../../src/net/addresses.ts';
import type { CommandResult } from '../../../src/net/run-command.ts';

const quiet = (): void => undefined;
const ok = (stdout = ''): CommandResult => ({ exitCode: 0, stdout, stderr: '' });
const no = (stderr: string): CommandResult => ({ exitCode: 1, stdout: '', stderr });

/** A system that answers from a script and remembers what it was asked. */
function recorded(
  kind: 'ip' | 'ifconfig',
  answers: (argv: readonly string[]) => CommandResult | Promise<CommandResult>,
) {
  const commands: string[] = [];
  const driver = createAddressDriver(kind, quiet, (argv) => {
    commands.push(argv.join(' '));
    return Promise.resolve(answers(argv));
  });
  return { commands, driver };
}

const IFCONFIG = `re0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tether 00:11:22:33:44:55
\tinet 10.10.10.181 netmask 0xffffff00 broadcast 10.10.10.255
\tinet 10.10.10.180 netmask 0xffffffff broadcast 10.10.10.180 vhid 1
\tinet6 fe80::211:22ff:fe33:4455%re0 prefixlen 64 scopeid 0x1
\tinet6 fd00::180 prefixlen 64
re01: flags=8843<UP> metric 0 mtu 1500
\tinet 10.99.0.1 netmask 0xfffff000 broadcast 10.99.15.255
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> metric 0 mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
`;

describe('the ifconfig driver', () => {
  it.each([
    ['10.10.10.180/24', 'ifconfig re0 inet 10.10.10.180/24 alias', 'ifconfig re0 inet 10.10.10.180 -alias'],
    ['fd00::180/64', 'ifconfig re0 inet6 fd00::180/64 no_dad alias', 'ifconfig re0 inet6 fd00::180 -alias'],
  ])('adds and removes %s', async (cidr, add, remove) => {
    const { commands, driver } = recorded('ifconfig', (argv) => ok(argv.includes('-a') ? IFCONFIG : ''));
    await driver.add(cidr, 're0');
    await driver.remove(cidr, 're0');
    expect(commands).toEqual([add, 'ifconfig -a', remove]);
    expect(driver.cleanupActions([cidr], 're0').map((argv) => argv.join(' '))).toEqual([remove]);
  });

  it.each([
    ['re0', ['10.10.10.181/24', '10.10.10.180/32', 'fe80::211:22ff:fe33:4455/64', 'fd00::180/64']],
    ['re01', ['10.99.0.1/20']],
    ['re1', []],
  ])('reads what is on %s', async (iface, wanted) => {
    const { driver } = recorded('ifconfig', () => ok(IFCONFIG));
    expect(await driver.present(iface)).toEqual(wanted);
  });

  it('removes at start only what is its own', async () => {
    const { commands, driver } = recorded('ifconfig', () => ok(IFCONFIG));
    const left = await removeLeftovers(driver, ['10.10.10.180/24', 'FD00:0::180/64', '10.10.10.9/24'], 're0');
    expect(left).toEqual(['10.10.10.180/32', 'fd00::180/64']);
    expect(commands.slice(1)).toEqual([
      'ifconfig re0 inet 10.10.10.180 -alias',
      'ifconfig re0 inet6 fd00::180 -alias',
    ]);
  });
});

describe('a command driver', () => {
  it('fails with what the command said', async () => {
    const { driver } = recorded('ip', () => no('RTNETLINK answers: Operation not permitted\n'));
    await expect(driver.add('10.0.0.1/24', 'eth0')).rejects.toMatchObject({
      code: 'address-add',
      message: expect.stringContaining('Operation not permitted') as unknown,
    });
    await expect(driver.present('eth0')).rejects.toMatchObject({ code: 'address-list' });
  });

  it('is content when an address cannot be removed because it is not there, and not otherwise', async () => {
    const listing = JSON.stringify([{ ifname: 'eth0', addr_info: [{ local: '10.0.0.1', prefixlen: 24 }] }]);
    const { driver } = recorded('ip', (argv) => (argv.includes('show') ? ok(listing) : no('nope')));
    await driver.remove('10.0.0.2/24', 'eth0');
    await driver.remove('10.0.0.1/24', 'eth1');
    await expect(driver.remove('10.0.0.1/24', 'eth0')).rejects.toMatchObject({ code: 'address-remove' });
  });

  it('does not believe that an address is there when it is not', async () => {
    const { driver } = recorded('ip', (argv) => ok(argv.includes('show') ? '[]' : ''));
    await expect(driver.add('10.0.0.1/24', 'eth0')).rejects.toMatchObject({ code: 'address-add' });
  });

  it('starts no command before the one before has ended', async () => {
    let finish: (result: CommandResult) => void = () => undefined;
    const { commands, driver } = recorded('ip', (argv) =>
      argv.includes('replace') ? new Promise((resolve) => (finish = resolve)) : ok(),
    );
    const add = driver.add('10.0.0.1/24', 'eth0');
    const remove = driver.remove('10.0.0.1/24', 'eth0');
    await new Promise((resolve) => setImmediate(resolve));
    expect(commands).toEqual(['ip address replace 10.0.0.1/24 dev eth0 label eth0:ha']);
    finish(no('too late'));
    await expect(add).rejects.toThrow('too late');
    await remove;
    expect(commands.at(-1)).toBe('ip address del 10.0.0.1/24 dev eth0');
  });

  it('refuses a listing that it does not understand', async () => {
    const { driver } = recorded('ip', () => ok('oops'));
    await expect(driver.present('eth0')).rejects.toMatchObject({ code: 'address-list' });
  });

  it('leaves the label out where the name has no room for it', async () => {
    const listing = [{ ifname: 'enp3s0f1np1xy', addr_info: [{ local: '10.0.0.1', prefixlen: 24 }] }];
    const { commands, driver } = recorded('ip', () => ok(JSON.stringify(listing)));
    await driver.add('10.0.0.1/24', 'enp3s0f1np1xy');
    expect(commands[0]).toBe('ip address replace 10.0.0.1/24 dev enp3s0f1np1xy');
  });
});

describe('the looks of an address', () => {
  it.each([
    ['ip', '10.0.0.1/24', {}, 'ip address replace 10.0.0.1/24 dev re0 label re0:ha'],
    ['ip', '10.0.0.1/24', { label: 'vip' }, 'ip address replace 10.0.0.1/24 dev re0 label re0:vip'],
    ['ip', '10.0.0.1/32', { label: null }, 'ip address replace 10.0.0.1/32 dev re0'],
    [
      'ip',
      '10.0.0.1/24',
      { deprecated: true, dad: true },
      'ip address replace 10.0.0.1/24 dev re0 label re0:ha',
    ],
    ['ip', 'fd00::1/64', {}, 'ip address replace fd00::1/64 dev re0 nodad'],
    ['ip', 'fd00::1/128', { dad: true }, 'ip address replace fd00::1/128 dev re0'],
    ['ip', 'fd00::1/64', { deprecated: true }, 'ip address replace fd00::1/64 dev re0 nodad preferred_lft 0'],
    ['ifconfig', '10.0.0.1/24', { deprecated: true }, 'ifconfig re0 inet 10.0.0.1/24 alias'],
    ['ifconfig', 'fd00::1/64', { dad: true }, 'ifconfig re0 inet6 fd00::1/64 alias'],
    ['ifconfig', 'fd00::1/64', { deprecated: true }, 'ifconfig re0 inet6 fd00::1/64 no_dad deprecated alias'],
  ] as const)('for %s of %s with %j is asked for by `%s`', async (kind, cidr, changes, wanted) => {
    const commands: string[] = [];
    const run = (argv: readonly string[]) => {
      commands.push(argv.join(' '));
      return Promise.resolve(ok(kind === 'ip' ? '[]' : ''));
    };
    const driver = createAddressDriver(kind, quiet, run, () => ({
      ...{ label: 'ha', deprecated: false, dad: false },
      ...changes,
    }));
    await driver.add(cidr, 're0').catch(() => undefined);
    expect(commands[0]).toBe(wanted);
  });
});

describe('the simulated driver', () => {
  it('only remembers and says', async () => {
    const lines: string[] = [];
    const driver = createAddressDriver('simulated', (_level, message) => lines.push(message));
    await driver.add('10.0.0.1/24', 'eth0');
    await driver.add('10.0.0.1/24', 'eth0');
    expect(await driver.present('eth0')).toEqual(['10.0.0.1/24']);
    await driver.remove('10.0.0.1/24', 'eth0');
    await driver.remove('10.0.0.1/24', 'eth0');
    expect(await driver.present('eth0')).toEqual([]);
    expect(lines).toHaveLength(2);
    expect(driver.cleanupActions(['10.0.0.1/24'], 'eth0')).toEqual([]);
  });
});
