import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { codesOf, untilGone } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { StampedClients } from '../support/stamped-clients.ts';

describe('an async pair', () => {
  let lab: Lab;
  let clients: StampedClients;

  beforeEach(async () => {
    lab = await Lab.make({ replication: 'async' });
  });
  afterEach(async () => {
    await clients.stop();
    await lab.close();
  });

  it('hands over as planned: the one that goes has flushed both disks', async () => {
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    await hasta.request('switchover', { group: 'storage', to: 'hastb' }, 20_000);
    await clients.more('hastb');
    expect(await clients.lostOn(hastb)).toEqual([]);
  });

  it('does not fail over by itself, and the same primary serves everything again after its crash', async () => {
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    await hasta.kill();
    await untilGone(hastb, 'hasta');
    expect(await codesOf(hastb)).toContain('member-unknown');
    hasta.start();
    await hasta.untilPrimary('storage');
    await clients.more('hasta');
    expect(clients.served()).toEqual(['hasta']);
    expect(await clients.lostOn(hasta)).toEqual([]);
  });
});
