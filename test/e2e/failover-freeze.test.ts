import { afterEach, describe, expect, it } from 'vitest';

import { groupOf, resourceOf } from '../support/daemon.ts';
import { differences, resyncedBytes, untilGone, untilPaired, whyNot } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { StampedClients } from '../support/stamped-clients.ts';

const MIB = 1024 * 1024;
const HOLD_MS = 600;
/** For a machine with other work to do. */
const SLACK_MS = 1000;

describe('a freeze', () => {
  let lab: Lab;
  let clients: StampedClients;

  afterEach(async () => {
    await clients.stop();
    await lab.close();
  });

  it('of the primary moves the group, and the old one answers nothing when it wakes up, and follows', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');

    hasta.signal('SIGSTOP');
    await hastb.untilPrimary('storage');
    await clients.more('hastb');
    const wokenAt = performance.now();
    hasta.signal('SIGCONT');
    await hasta.until('secondary', (s) => groupOf(s, 'storage').state === 'standby.waiting');
    await untilPaired({ primary: hastb, standby: hasta });
    await clients.more('hastb');
    expect(clients.countOf('hasta', wokenAt)).toBe(0);
    expect(clients.served()).toEqual(['hasta', 'hastb']);
    expect(await hastb.logged(/split-brain/)).toEqual([]);

    await clients.stop();
    expect(await clients.lostOn(hastb)).toEqual([]);
    expect(clients.stale).toEqual([]);
  });

  it('of the standby holds writes for little more than the hold; while it resyncs it is not promoted, whatever dies', async () => {
    lab = await Lab.make({ diskMiB: 288 });
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');

    const frozenAt = performance.now();
    hastb.signal('SIGSTOP');
    await hasta.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);
    await clients.more('hasta');
    expect(clients.longestGapMs(frozenAt)).toBeLessThan(HOLD_MS + SLACK_MS);

    await clients.fill(hasta, 16 * MIB, 256 * MIB);
    hastb.signal('SIGCONT');
    await hastb.until('half resynced', (s) => resourceOf(s, 'disk1').record?.state === 'inconsistent');
    await hasta.kill();
    await untilGone(hastb, 'hasta');
    const { verdict } = await whyNot(hastb);
    expect(verdict.answer).toBe('refuse');
    expect(verdict.reasons.map(({ code }) => code)).toContain('member-inconsistent');
    expect(groupOf(await hastb.status(), 'storage')).toMatchObject({
      state: 'standby.waiting',
      badge: expect.stringMatching(/^blocked: disk1 is inconsistent/) as string,
    });
    expect(await resyncedBytes(hasta)).toEqual([]);

    hasta.start();
    await hasta.untilPrimary('storage');
    await untilPaired({ primary: hasta, standby: hastb });
    await clients.more('hasta');
    expect(clients.served()).toEqual(['hasta']);
    await clients.stop();
    expect(await clients.lostOn(hasta)).toEqual([]);
    await hasta.stop();
    await hastb.stop();
    expect(await differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'))).toEqual([]);
  });
});
