import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { AddressOptions } from '../../src/model/settings.ts';
import { createAddressDriver, removeLeftovers } from '../../src/net/addresses.ts';
import type { AddressDriver } from '../../src/net/addresses.ts';
import { needs } from '../support/needs.ts';

const namespace = `hac-ip${process.pid}`;
const inside = (argv: readonly string[]) =>
  execa('ip', ['netns', 'exec', namespace, ...argv], { reject: false });

describe.skipIf(needs('root', 'netns', 'ip'))('the ip driver on a real interface', () => {
  let driver: AddressDriver;
  let options: AddressOptions;
  beforeAll(async () => {
    await execa('ip', ['netns', 'add', namespace]);
    await inside(['ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1']);
    for (const link of ['lan0', 'lan1']) await inside(['ip', 'link', 'set', link, 'up']);
    await inside(['ip', 'address', 'add', '10.79.0.1/24', 'dev', 'lan0']);
  });
  afterAll(() => execa('ip', ['netns', 'del', namespace], { reject: false }));
  beforeEach(() => {
    options = { label: 'ha', deprecated: false, dad: false };
    driver = createAddressDriver(
      'ip',
      () => undefined,
      async (argv) => {
        const { exitCode, stdout, stderr } = await inside(argv);
        return { exitCode: exitCode ?? 255, stdout, stderr };
      },
      () => options,
    );
  });

  it.each(['10.79.0.100/24', 'fd79::100/64'])('adds and removes %s, twice each', async (cidr) => {
    await driver.add(cidr, 'lan0');
    await driver.add(cidr, 'lan0');
    expect(await driver.present('lan0')).toContain(cidr);
    await driver.remove(cidr, 'lan0');
    await driver.remove(cidr, 'lan0');
    expect(await driver.present('lan0')).not.toContain(cidr);
    expect(await driver.present('lan0')).toContain('10.79.0.1/24');
  });

  it('uses an IPv6 address at once, without duplicate detection', async () => {
    await driver.add('fd79::100/64', 'lan0');
    const { stdout } = await inside(['ip', '-o', 'address', 'show', 'lan0']);
    const line = stdout.split('\n').find((text) => text.includes('fd79::100/64'));
    expect(line).toContain('nodad');
    expect(line).not.toContain('tentative');
  });

  it('gives addresses the looks that were asked for, and changes them where they are up', async () => {
    const line = async (address: string): Promise<string> => {
      const { stdout } = await inside(['ip', '-o', 'address', 'show', 'lan0']);
      return stdout.split('\n').find((text) => text.includes(address)) ?? '';
    };
    options = { label: 'vip', deprecated: false, dad: true };
    await driver.add('10.79.0.100/24', 'lan0');
    await driver.add('fd79::100/64', 'lan0');
    expect(await line('10.79.0.100/24')).toContain(' lan0:vip');
    expect(await line('fd79::100/64')).not.toContain('nodad');
    options = { label: null, deprecated: true, dad: false };
    await driver.add('fd79::100/64', 'lan0');
    expect(await line('fd79::100/64')).toMatch(/deprecated.*preferred_lft 0sec/);
    for (const cidr of ['10.79.0.100/24', 'fd79::100/64']) await driver.remove(cidr, 'lan0');
    await driver.add('10.79.0.100/24', 'lan0');
    expect(await line('10.79.0.100/24')).not.toContain('lan0:');
    await driver.remove('10.79.0.100/24', 'lan0');
  });

  it('removes what an earlier life left, and its clean-up commands do too', async () => {
    const cidrs = ['10.79.0.100/24', 'fd79::100/64'];
    for (const cidr of cidrs) await driver.add(cidr, 'lan0');
    expect(await removeLeftovers(driver, cidrs, 'lan0')).toEqual(cidrs);
    for (const cidr of cidrs) await driver.add(cidr, 'lan0');
    for (const argv of driver.cleanupActions(cidrs, 'lan0')) await inside(argv);
    expect(await removeLeftovers(driver, cidrs, 'lan0')).toEqual([]);
    // Whatever prefix it was left with.
    await driver.add('10.79.0.100/32', 'lan0');
    expect(await removeLeftovers(driver, cidrs, 'lan0')).toEqual(['10.79.0.100/32']);
  });

  it('fails to add to an interface that is not there, and has nothing to remove from it', async () => {
    await expect(driver.add('10.79.0.100/24', 'lan9')).rejects.toMatchObject({ code: 'address-add' });
    await driver.remove('10.79.0.100/24', 'lan9');
    expect(await driver.present('lan9')).toEqual([]);
  });
});
