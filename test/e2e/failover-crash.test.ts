import { afterEach, describe, expect, it } from 'vitest';

import { differences, resyncedBytes, serves, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { StampedClients } from '../support/stamped-clients.ts';

const DISK_MIB = 256;
/** What the clients write lies in two extents, and the map may hold a third as dirty. */
const FEW_EXTENTS_BYTES = 3 * 2 * 1024 * 1024;

describe('a crash', () => {
  let lab: Lab;
  let clients: StampedClients;

  afterEach(async () => {
    await clients.stop();
    await lab.close();
  });

  it('of the primary loses nothing that was acknowledged, and its return copies only what changed', async () => {
    lab = await Lab.make({
      diskMiB: DISK_MIB,
      groups: [{ name: 'storage', resources: ['disk1'], address: true }],
    });
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta', 500);

    const killedAt = performance.now();
    await hasta.kill();
    await hastb.untilPrimary('storage');
    await clients.more('hastb', 500);
    expect(clients.longestGapMs(killedAt)).toBeLessThan(2500);
    expect(clients.served()).toEqual(['hasta', 'hastb']);
    expect(await clients.lostOn(hastb)).toEqual([]);

    hasta.start();
    await untilPaired({ primary: hastb, standby: hasta });
    const [copied] = await resyncedBytes(hastb);
    expect(copied).toBeGreaterThan(0);
    expect(copied).toBeLessThanOrEqual(FEW_EXTENTS_BYTES);
    expect(clients.served()).toEqual(['hasta', 'hastb']);

    await clients.stop();
    expect(await clients.lostOn(hastb)).toEqual([]);
    expect(clients.stale).toEqual([]);
    await hasta.stop();
    await hastb.stop();
    // A resource is named once in a line.
    for (const daemon of [hasta, hastb]) expect(await daemon.logged(/disk1.* disk1[: ]/)).toEqual([]);
    expect(await differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'))).toEqual([]);
  });

  it('of both nodes at once loses nothing: they agree on who has the data and serve again', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta', 500);

    await Promise.all([hasta.kill(), hastb.kill()]);
    await clients.stop();
    hasta.start();
    hastb.start();
    await untilPaired({ primary: hasta, standby: hastb });
    expect(serves(await hastb.status())).toBe(false);
    expect(await clients.lostOn(hasta)).toEqual([]);
    await hasta.stop();
    await hastb.stop();
    expect(await differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'))).toEqual([]);
  });
});
