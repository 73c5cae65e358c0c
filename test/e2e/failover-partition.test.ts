import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { codesOf, differences, journalOf, untilGone, untilPaired } from '../support/failover.ts';
import { Lab, type LabOptions } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { Namespaces, REFERENCE } from '../support/netns.ts';
import { eventually, StampedClients } from '../support/stamped-clients.ts';

/** Data link dead after 600 ms, asked after another 200 ms; the rest is for a busy machine. */
const ALONE_MS = 2000;

describe.skipIf(needs('root', 'netns', 'nft'))('a cut network', () => {
  let namespaces: Namespaces;
  let lab: Lab | null = null;
  let clients: StampedClients | null = null;

  beforeEach(async () => {
    namespaces = await Namespaces.make();
  });

  afterEach(async () => {
    await clients?.stop();
    await lab?.close();
    await namespaces.close();
    clients = lab = null;
  });

  const makeLab = async (options: LabOptions = {}): Promise<Lab> => {
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], address: true }],
      ...options,
      net: namespaces.net,
    });
    return lab;
  };

  it('between the disks only makes the standby record that it is out, and it stays out when the primary dies', async () => {
    const own = await makeLab();
    const { hasta, hastb } = await own.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');

    const cutAt = performance.now();
    await namespaces.cutBoth('data0');
    await hastb.until('outdated', (s) => resourceOf(s, 'disk1').record?.state === 'outdated');
    await hasta.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);
    await clients.more('hasta');
    expect(clients.longestGapMs(cutAt)).toBeLessThan(ALONE_MS);
    expect((await journalOf(hastb)).map(({ kind }) => kind)).toContain('peer.outdated');
    expect(groupOf(await hasta.status(), 'storage').badge).toMatch(/^failover now: not possible/);

    await hasta.kill();
    await untilGone(hastb, 'hasta');
    expect(await codesOf(hastb)).toContain('member-outdated');
    expect(groupOf(await hastb.status(), 'storage').state).toBe('standby.waiting');
    expect(clients.served()).toEqual(['hasta']);

    await namespaces.heal();
    hasta.start();
    await untilPaired({ primary: hasta, standby: hastb });
    await clients.more('hasta');
    await clients.stop();
    expect(clients.served()).toEqual(['hasta']);
    expect(await clients.lostOn(hasta)).toEqual([]);
    await hasta.stop();
    await hastb.stop();
    expect(await differences(own.places.hasta.disk('disk1'), own.places.hastb.disk('disk1'))).toEqual([]);
  });

  it('on every path with no reference lets both serve; when they meet, both say split-brain and keep their copy', async () => {
    const own = await makeLab({ groups: [{ name: 'storage', resources: ['disk1'] }] });
    const { hasta, hastb } = await own.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    await namespaces.cutBoth('data0', 'peer0');
    await hastb.untilPrimary('storage');
    await clients.more('hastb');
    await clients.more('hasta');
    await clients.stop();

    await namespaces.heal();
    for (const daemon of [hasta, hastb]) {
      await daemon.until('aware of the split-brain', (s) => /split-brain/.test(groupOf(s, 'storage').badge));
      expect(await splitsSaid(daemon)).toBe(1);
      expect(resourceOf(await daemon.status(), 'disk1')).toMatchObject({ status: 'degraded', sync: null });
      expect(await clients.lostOn(daemon, daemon.node)).toEqual([]);
    }

    // Even as a secondary of the other it is not overwritten.
    await hasta.request('role', { role: 'secondary', resources: ['disk1'] }, 20_000);
    await eventually('said in the handshake', async () => (await splitsSaid(hasta)) > 1);
    expect(resourceOf(await hastb.status(), 'disk1')).toMatchObject({ status: 'degraded', sync: null });
    expect(await clients.lostOn(hastb, 'hastb')).toEqual([]);
    await hastb.stop();
    await untilGone(hasta, 'hastb');
    await hasta.request('promote', { group: 'storage', force: true, reason: 'a look at its copy' }, 20_000);
    expect(await clients.lostOn(hasta, 'hasta')).toEqual([]);
  });

  it('around the standby and its references keeps it from serving, and the primary goes on alone', async () => {
    const own = await makeLab({ yaml: [`references: [${REFERENCE}]`] });
    const { hasta, hastb } = await own.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    await namespaces.cutBoth('data0', 'peer0');
    await namespaces.cut('hastb', 'ref0');
    await untilGone(hastb, 'hasta');
    await clients.more('hasta');
    expect(await codesOf(hastb)).toContain('references-lost');
    expect(clients.served()).toEqual(['hasta']);

    await namespaces.heal();
    await untilPaired({ primary: hasta, standby: hastb });
    await clients.stop();
    expect(clients.served()).toEqual(['hasta']);
    expect(await clients.lostOn(hasta)).toEqual([]);
  });

  it('around the primary and its references makes it acknowledge nothing more and step down while the other one takes over', async () => {
    const own = await makeLab({ yaml: [`references: [${REFERENCE}]`] });
    const { hasta, hastb } = await own.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    // An application on the node that is cut off goes on writing there.
    await namespaces.cutBoth('data0', 'peer0');
    await namespaces.cut('hasta', 'ref0');
    await hastb.untilPrimary('storage');
    await clients.more('hastb');
    await hasta.until('standby', (s) => groupOf(s, 'storage').state === 'standby.waiting');
    expect(await codesOf(hasta)).toContain('references-lost');
    // It never recorded that it goes on alone: what was acknowledged there, the other one has.
    expect(resourceOf(await hasta.status(), 'disk1').record?.inSync).toEqual(['hasta', 'hastb']);

    await namespaces.heal();
    await untilPaired({ primary: hastb, standby: hasta });
    await clients.stop();
    expect(clients.served()).toEqual(['hasta', 'hastb']);
    expect(await clients.lostOn(hastb)).toEqual([]);
    expect(await splitsSaid(hasta)).toBe(0);
  });
});

async function splitsSaid(daemon: LabDaemon): Promise<number> {
  return (await journalOf(daemon)).filter(({ kind }) => kind.endsWith('.split-brain')).length;
}
