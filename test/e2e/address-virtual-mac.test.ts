/** Addresses behind the MAC of their vrid, on a pair that fails over. */
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon } from '../support/daemon.ts';
import { journalOf, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { Namespaces } from '../support/netns.ts';
import { eventually } from '../support/stamped-clients.ts';

const ADDRESS = '10.79.2.100';
const OTHER = '10.79.2.101';
const MAC = '00:00:5e:00:01:2a';

describe.skipIf(needs('root', 'netns', 'ip', 'nft', 'koffi'))('a virtual MAC', () => {
  let namespaces: Namespaces;
  let lab: Lab;
  let pair: Readonly<Record<'hasta' | 'hastb', LabDaemon>>;

  const ip = async (node: 'hasta' | 'hastb', ...words: string[]): Promise<string> => {
    const [program = '', ...args] = [...namespaces.net.enter[node], 'ip', ...words];
    return (await execa(program, args)).stdout;
  };

  beforeEach(async () => {
    namespaces = await Namespaces.make();
    const words = ['interface: peer0', 'protocol: vrrp3', 'vrid: 42', 'interval: 100ms', 'virtual-mac: true'];
    const more = ['address:', ...[...words, `addresses: [${ADDRESS}/24]`].map((line) => `  ${line}`)];
    lab = await Lab.make({ groups: [{ name: 'storage', resources: ['disk1'], more }], net: namespaces.net });
  });
  afterEach(async () => {
    await lab.close();
    await namespaces.close();
  });

  it('stays the one that neighbours know, and nothing of it stays on a node that was killed', async () => {
    pair = await lab.startPair();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    // Somebody takes it: that is no reason to serve less, and told when it is announced the next time.
    await ip('hastb', 'address', 'add', `${ADDRESS}/32`, 'dev', 'peer0');
    await lab.edit(lab.hastateYaml, (text) => text.replace(`${ADDRESS}/24`, `$&, ${OTHER}/24`));
    for (const node of ['hasta', 'hastb'] as const) await pair[node].request('reload', {}, 20_000);
    await eventually('the duplicate is told', async () =>
      (await journalOf(pair.hasta)).some(({ kind }) => kind === 'address.duplicate'),
    );
    const { address } = groupOf(await pair.hasta.status(), 'storage');
    expect(address?.counters['duplicate-address']).toBeGreaterThan(0);
    await ip('hastb', 'address', 'del', `${ADDRESS}/32`, 'dev', 'peer0');
    expect(await ip('hasta', '-o', 'link')).toContain(MAC);

    await pair.hasta.kill();
    await pair.hastb.untilPrimary('storage');
    await eventually('hastb has it', async () => (await ip('hastb', '-o', 'link')).includes(MAC));
    await eventually('hasta has it no more', async () => !(await ip('hasta', '-o', 'link')).includes(MAC));
    await ip('hasta', 'neigh', 'flush', 'dev', 'peer0');
    const [program, ...args] = [...namespaces.net.enter.hasta, 'bash', '-c'];
    await execa(program, [...args, `echo >/dev/udp/${ADDRESS}/9`]);
    await eventually('the neighbour knows it', async () =>
      (await ip('hasta', 'neigh', 'show', ADDRESS)).includes(MAC),
    );
    await pair.hastb.stop();
    expect(await ip('hastb', '-o', 'link')).not.toContain(MAC);
  });
});
