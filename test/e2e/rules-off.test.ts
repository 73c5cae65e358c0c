import { afterEach, describe, expect, it } from 'vitest';

import type { LabDaemon } from '../support/daemon.ts';
import { codesOf, untilGone } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { withoutRule } from '../support/rules-off.ts';
import { StampedClients } from '../support/stamped-clients.ts';

describe('a standby that was away while its primary went on, and comes back alone (B4)', () => {
  let lab: Lab;
  let clients: StampedClients;

  afterEach(async () => {
    await clients.stop();
    await lab.close();
  });

  const leaveBehind = async (): Promise<LabDaemon> => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    await hastb.kill();
    await clients.more('hasta', 200);
    await hasta.kill();
    return hastb;
  };

  it('serves nothing, for it does not know what its copy lacks', async () => {
    const hastb = await leaveBehind();
    hastb.start();
    await untilGone(hastb, 'hasta');
    // Killed in the middle of a write it has marks of its own, and knows only of these.
    expect(await codesOf(hastb)).toContainEqual(expect.stringMatching(/^member-(unknown|behind)$/));
    expect(clients.served()).toEqual(['hasta']);
  });

  it('would serve without the rule, and lack what was acknowledged', async () => {
    const hastb = await leaveBehind();
    withoutRule('B4', () => hastb.start());
    await hastb.untilPrimary('storage');
    await clients.stop();
    expect((await clients.lostOn(hastb)).length).toBeGreaterThan(0);
  });
});
