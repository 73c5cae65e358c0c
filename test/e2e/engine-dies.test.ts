/** The thread of a resource's engine dies by itself, under real daemons that live on. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon, type LabNode, NODES } from '../support/daemon.ts';
import { differences, journalOf, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { preloaded } from '../support/preload.ts';
import { eventually, StampedClients } from '../support/stamped-clients.ts';

describe('an engine that dies', () => {
  let lab: Lab;
  let daemons: Record<LabNode, LabDaemon>;
  let clients: StampedClients;
  const mark = (node: LabNode): string => join(lab.directory, `${node}-dies`);

  beforeEach(async () => {
    lab = await Lab.make();
    const start = (node: LabNode): LabDaemon =>
      preloaded('engine-dies.mjs', { ENGINE_DIES: mark(node) }, () => lab.daemon(node).start());
    daemons = { hasta: start('hasta'), hastb: start('hastb') };
    await daemons.hasta.untilPrimary('storage');
    await untilPaired({ primary: daemons.hasta, standby: daemons.hastb });
    clients = new StampedClients(NODES.map((node) => daemons[node])).start();
    await clients.more('hasta', 200);
  });
  afterEach(async () => {
    await clients.stop();
    await lab.close();
  });

  const eventsOf = async (node: LabNode): Promise<string> =>
    (await journalOf(daemons[node])).map(({ message }) => message).join('\n');
  const died = (node: LabNode): Promise<void> =>
    eventually('its end is told', async () => (await eventsOf(node)).includes('wanted this engine to fail'));

  async function nothingLost(primary: LabDaemon, standby: LabDaemon): Promise<void> {
    await clients.more(primary.node, 200);
    await untilPaired({ primary, standby });
    await clients.stop();
    expect(await clients.lostOn(primary)).toEqual([]);
    expect(clients.stale).toEqual([]);
    await primary.stop();
    await standby.stop();
    expect(await differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'))).toEqual([]);
  }

  it('at the standby is opened again, and the disk catches up', async () => {
    const { hasta, hastb } = daemons;
    await writeFile(mark('hastb'), '');
    await died('hastb');
    expect(groupOf(await hasta.status(), 'storage').state).toBe('primary.serving');
    await nothingLost(hasta, hastb);
  });

  it('at the primary takes the group down there, and one of the nodes goes on with everything', async () => {
    await writeFile(mark('hasta'), '');
    await died('hasta');
    await eventually('it is down', async () => (await eventsOf('hasta')).includes('standby.settling'));
    let leader: LabDaemon | undefined;
    await eventually('one leads again', async () => {
      for (const daemon of Object.values(daemons)) {
        if (groupOf(await daemon.status(), 'storage').state === 'primary.serving') leader = daemon;
      }
      return leader !== undefined;
    });
    const { hasta, hastb } = daemons;
    await (leader === hasta ? nothingLost(hasta, hastb) : nothingLost(hastb, hasta));
  });
});
