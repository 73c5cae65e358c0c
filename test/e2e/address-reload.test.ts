/** Address settings changed on a pair that runs, one node after the other, beside others on the segment. */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AddressStatus, ReloadResult } from '../../src/protocol/control.ts';
import { groupOf, type LabDaemon } from '../support/daemon.ts';
import { journalOf, untilPaired } from '../support/failover.ts';
import { startKeepalived, startUcarp } from '../support/foreign-advertisers.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { Namespaces } from '../support/netns.ts';
import { eventually } from '../support/stamped-clients.ts';
import { talk, type Talker } from '../support/talker.ts';

const FIRST = '10.79.1.100/24';
const SECOND = '10.79.1.101/24';
const TAKEN_MS = 10_000;

describe.skipIf(needs('root', 'netns', 'ip', 'nft', 'ucarp', 'koffi'))('address settings', () => {
  let namespaces: Namespaces;
  let lab: Lab;
  let pair: Readonly<Record<'hasta' | 'hastb', LabDaemon>>;
  const others: Talker[] = [];

  const start = async (lines: readonly string[]): Promise<void> => {
    const address = ['address:', ...lines.map((line) => `  ${line}`)];
    const more = [...address, '  interface: peer0', `  addresses: [${FIRST}]`];
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], more }],
      net: namespaces.net,
    });
    const secret = `password-file: ${join(lab.directory, 'carp-password')}`;
    if (lines.includes('protocol: carp'))
      await lab.edit(lab.hastateYaml, (text) => text.replace('interface: peer0', `$&\n      ${secret}`));
    pair = await lab.startPair();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    await eventually('the address', async () => (await addresses('hasta')).includes(FIRST));
  };
  beforeEach(async () => {
    namespaces = await Namespaces.make();
  });
  afterEach(async () => {
    for (const other of others.splice(0)) await other.kill('SIGKILL');
    await lab.close();
    await namespaces.close();
  });

  const addresses = async (node: 'hasta' | 'hastb'): Promise<string[]> => {
    const { stdout } = await inside(node, 'ip', '-o', '-4', 'address', 'show', 'peer0');
    return [...stdout.matchAll(/inet (\S+)/g)].map(([, cidr]) => cidr ?? '');
  };
  const inside = (node: 'hasta' | 'hastb', ...argv: string[]) => {
    const [program = '', ...args] = [...namespaces.net.enter[node], ...argv];
    return execa(program, args, { reject: false });
  };
  const shown = async (node: 'hasta' | 'hastb'): Promise<AddressStatus> => {
    const { address } = groupOf(await pair[node].status(), 'storage');
    if (address === null) throw new Error('no address');
    return address;
  };
  const reload = (node: 'hasta' | 'hastb'): Promise<ReloadResult> =>
    pair[node].request('reload', {}, 20_000) as Promise<ReloadResult>;
  /** Adverts of the other node that this one accepted, from now on. */
  const moreHeard = async (node: 'hasta' | 'hastb', count: number): Promise<void> => {
    const before = (await shown(node)).counters['accepted'] ?? 0;
    await eventually('more adverts', async () => {
      const { counters } = await shown(node);
      return (counters['accepted'] ?? 0) >= before + count;
    });
  };
  const elections = async (node: 'hasta' | 'hastb'): Promise<string[]> =>
    (await journalOf(pair[node])).filter(({ kind }) => kind === 'address.carp').map(({ message }) => message);
  const onHastb = (...argv: readonly string[]): Talker => {
    const [program = '', ...args] = [...namespaces.net.enter.hastb, ...argv];
    const talker = talk(spawn(program, args));
    others.push(talker);
    return talker;
  };
  const ucarp = (password: string): Promise<Talker> =>
    startUcarp(onHastb, lab.directory, {
      ...{ interface: 'peer0', source: '10.79.2.2', address: '10.79.1.100' },
      ...{ vhid: 9, password, advskew: 200 },
    });
  const keepalived = (vrid: number): Promise<Talker> => {
    const instance = `version 3\n virtual_router_id ${vrid}\n priority 100\n advert_int 0.1`;
    const addresses = `virtual_ipaddress {\n 10.79.1.100/24\n }`;
    return startKeepalived(onHastb, lab.directory, `${instance}\n ${addresses}`, 'peer0');
  };
  /** None of them takes over in that time although each of them could, as it shows when hasta is gone. */
  const neitherTakesOver = async (both: readonly Talker[], ms: number): Promise<void> => {
    const master = (ms: number) => (other: Talker) => other.line((line) => line.includes('MASTER'), ms);
    await Promise.all(both.map(master(ms)).map((taken) => expect(taken).rejects.toThrow(/no such line/)));
    await pair.hasta.kill();
    await Promise.all(both.map(master(TAKEN_MS)));
  };

  it.each([
    ['CARP', ['protocol: carp', 'vhid: 9', 'interval: 100ms']],
    ['VRRP 3', ['protocol: vrrp3', 'vrid: 9', 'interval: 100ms']],
  ])(
    'of %s change on one node after the other: both keep their state, the addresses follow at once',
    async (_, lines) => {
      await start(lines);
      const before = { hasta: await elections('hasta'), hastb: await elections('hastb') };
      await lab.edit(lab.hastateYaml, (text) =>
        text.replace(`[${FIRST}]`, `[${SECOND}, 'fd79::101/64']`).replace(/: 9$/m, ': 10'),
      );
      expect(await reload('hasta')).toMatchObject({
        applied: ['groups.storage.address.addresses', 'groups.storage.address.vhid'],
        needsRestart: [],
        problems: [],
      });
      await eventually('the new list', async () => {
        const now = await addresses('hasta');
        return now.includes(SECOND) && !now.includes(FIRST);
      });
      expect((await shown('hasta')).waitsFor).toContain('not yet on hastb: reload it there');
      // Many times what hastb would wait for a MASTER that it no longer understands.
      await moreHeard('hastb', 10);
      await reload('hastb');
      await eventually('followed', async () => (await shown('hasta')).waitsFor === null);
      await moreHeard('hastb', 10);
      expect(await shown('hastb')).toMatchObject({ vhid: 10, state: 'BACKUP', waitsFor: null });
      expect(await shown('hasta')).toMatchObject({ vhid: 10, state: 'MASTER', up: true });
      expect({ hasta: await elections('hasta'), hastb: await elections('hastb') }).toEqual(before);
      expect(await pair.hastb.logged('wrong digest')).toEqual([]);
      const { counters } = await shown('hasta');
      const won = before.hasta.filter((message) => message.includes('-> MASTER'));
      expect(counters).toMatchObject({ 'became-master': won.length, 'duplicate-address': 0 });
      // The addresses that are up are those that are taken away.
      await pair.hasta.stop();
      await eventually('taken over', async () => (await addresses('hastb')).includes(SECOND));
      expect(await addresses('hasta')).toEqual(['10.79.2.1/24']);
      // It was left to hastb in so many words, so nothing had to time out.
      const after = (await shown('hastb')).counters;
      expect(after['goodbye-heard']).toBeGreaterThan(0);
      expect(after).toMatchObject({ 'became-master': 1, 'goodbye-sent': 0 });
    },
  );

  it('of CARP change their pace together, faster and slower, without an election', async () => {
    await start(['protocol: carp', 'vhid: 9', 'interval: 100ms']);
    const before = { hasta: await elections('hasta'), hastb: await elections('hastb') };
    for (const [from, to, advbase] of [
      ['100ms', '1s', 1],
      ['1s', '200ms', 0],
    ] as const) {
      await lab.edit(lab.hastateYaml, (text) => text.replace(`interval: ${from}`, `interval: ${to}`));
      await reload('hasta');
      await moreHeard('hastb', 2);
      await reload('hastb');
      await eventually('followed', async () => {
        const { says, waitsFor } = await shown('hasta');
        return waitsFor === null && says.protocol === 'carp' && says.advbase === advbase;
      });
      await moreHeard('hastb', 2);
    }
    expect({ hasta: await elections('hasta'), hastb: await elections('hastb') }).toEqual(before);
  });

  it.skipIf(needs('keepalived'))(
    'of VRRP are followed by keepalived when it is started with the new vrid: neither it nor an older one takes over',
    async () => {
      await start(['protocol: vrrp3', 'vrid: 9', 'interval: 100ms', 'priority: { hasta: 200, hastb: 150 }']);
      await pair.hastb.kill();
      const before = await elections('hasta');
      const older = await keepalived(9);
      await older.line((line) => line.includes('BACKUP'), 5000);
      await lab.edit(lab.hastateYaml, (text) => text.replace('vrid: 9', 'vrid: 10'));
      expect(await reload('hasta')).toMatchObject({ accepted: true, problems: [] });
      const newer = await keepalived(10);
      // Many times the 0.4 s after which each of them takes over from a MASTER that it does not understand.
      await neitherTakesOver([older, newer], 3000);
      expect(await elections('hasta')).toEqual(before);
    },
  );

  it('are followed by ucarp when it is started with the new password: neither it nor an older one takes over', async () => {
    await start(['protocol: carp', 'vhid: 9', 'advskew: { hasta: 0, hastb: 100 }']);
    await pair.hastb.kill();
    const before = await elections('hasta');
    const older = await ucarp('a password');
    await older.line((line) => line.includes('BACKUP'), 5000);
    await writeFile(join(lab.directory, 'carp-password'), 'another one\n');
    expect(await reload('hasta')).toMatchObject({ accepted: true, problems: [] });
    const newer = await ucarp('another one');
    // Longer than the 3.8 s after which each of them takes over from a MASTER that it does not understand.
    expect((await shown('hasta')).waitsFor).not.toBeNull();
    await neitherTakesOver([older, newer], 6000);
    expect(await elections('hasta')).toEqual(before);
  });
});
