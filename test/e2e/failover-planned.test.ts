import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import {
  codesOf,
  differences,
  journalOf,
  resyncedBytes,
  untilGone,
  untilHandsOver,
  untilPaired,
} from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { eventually, StampedClients } from '../support/stamped-clients.ts';

const PROMOTION_DELAY_MS = 500;
const EXTENT_BYTES = 2 * 1024 * 1024;
/** The clients' blocks lie in two extents; what was on its way may be copied again. */
const IN_FLIGHT_BYTES = 2 * EXTENT_BYTES;
const SWITCHOVERS = 5;

describe('a planned change', () => {
  let lab: Lab;
  let clients: StampedClients | null = null;

  afterEach(async () => {
    await clients?.stop();
    clients = null;
    await lab.close();
  });

  const disksDiffer = (): Promise<number[]> =>
    differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'));

  it('of sides, back and forth under writes, loses nothing, stops them for less than 2 s and copies next to nothing', async () => {
    lab = await Lab.make({ diskMiB: 64, groups: [{ name: 'storage', resources: ['disk1'], address: true }] });
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    let [from, to] = [hasta, hastb];
    await clients.more(from.node);
    for (let i = 0; i < SWITCHOVERS; i++) {
      const askedAt = performance.now();
      await from.request('switchover', { group: 'storage', to: to.node }, 20_000);
      await clients.more(to.node);
      expect(clients.longestGapMs(askedAt)).toBeLessThan(2000);
      expect(await clients.lostOn(to)).toEqual([]);
      await untilPaired({ primary: to, standby: from });
      [from, to] = [to, from];
    }
    const sides = ['hasta', 'hastb', 'hasta', 'hastb', 'hasta', 'hastb'];
    expect(clients.served()).toEqual(sides);
    expect(clients.stale).toEqual([]);
    for (const daemon of [hasta, hastb]) {
      for (const bytes of await resyncedBytes(daemon)) expect(bytes).toBeLessThanOrEqual(IN_FLIGHT_BYTES);
    }
    await clients.stop();
    await hasta.stop();
    await hastb.stop();
    expect(await disksDiffer()).toEqual([]);
  });

  it('of sides is called off when the other node lost touch on the way, for it lacks what was written since', async () => {
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], hooks: ['50-slow'] }],
    });
    const goOn = join(lab.directory, 'go-on');
    await lab.writeHook('50-slow', `[ "$1" != stop ] || until [ -e ${goOn} ]; do sleep 0.02; done`);
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    const asked = hasta.request('switchover', { group: 'storage', to: 'hastb' }, 30_000);
    const refused = expect(asked).rejects.toThrow();
    await hasta.until('stopping hooks', (s) => groupOf(s, 'storage').state === 'demoting.stoppingHooks');

    hastb.signal('SIGSTOP');
    await hasta.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);
    await clients.more('hasta');
    await writeFile(goOn, '');
    // It may be primary again before anybody looks.
    await eventually('released', async () =>
      (await journalOf(hasta)).some(
        ({ kind, data }) => kind === 'engine.role' && data?.['before'] === 'primary',
      ),
    );
    hastb.signal('SIGCONT');
    await refused;
    await untilPaired({ primary: hasta, standby: hastb });
    await clients.more('hasta');
    expect(clients.served()).toEqual(['hasta']);
    await clients.stop();
    expect(await clients.lostOn(hasta)).toEqual([]);
  });

  it('by a clean stop hands the group over at once, and both nodes come back in either order', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');

    const askedAt = performance.now();
    const stopped = hasta.stop();
    await clients.more('hastb');
    expect(clients.longestGapMs(askedAt)).toBeLessThan(PROMOTION_DELAY_MS);
    expect(await stopped).toEqual({ code: 0, signal: null });
    await clients.stop();
    expect(clients.served()).toEqual(['hasta', 'hastb']);
    expect(await clients.lostOn(hastb)).toEqual([]);

    hasta.start();
    await untilPaired({ primary: hastb, standby: hasta });
    expect(await disksDiffer()).toEqual([]);
    for (const [first, second] of [
      [hasta, hastb],
      [hastb, hasta],
    ] as const) {
      await Promise.all([hasta.stop(), hastb.stop()]);
      first.start();
      await first.untilRunning();
      second.start();
      const primary = await servingOf([hasta, hastb]);
      expect(await clients.lostOn(primary)).toEqual([]);
      await untilPaired({ primary, standby: primary === hasta ? hastb : hasta });
    }
  });

  it('by a clean stop of the standby hardly holds the writes up', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    const askedAt = performance.now();
    await hastb.stop();
    await hasta.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);
    await clients.more('hasta');
    expect(clients.longestGapMs(askedAt)).toBeLessThan(PROMOTION_DELAY_MS);
    hastb.start();
    await untilPaired({ primary: hasta, standby: hastb });
    expect(clients.served()).toEqual(['hasta']);
  });

  it('by a clean stop of both lets only the last writer serve alone, for only its record says that nobody has more', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    clients = new StampedClients([hasta, hastb]).start();
    await clients.more('hasta');
    await hasta.stop();
    await clients.more('hastb');
    await hastb.stop();
    await clients.stop();

    hasta.start();
    await untilGone(hasta, 'hastb');
    expect(await codesOf(hasta)).toContain('released');
    expect(groupOf(await hasta.status(), 'storage').badge).toMatch(/^blocked: .*handed its epoch over/);
    await hasta.stop();
    hastb.start();
    await hastb.untilPrimary('storage');
    expect(await clients.lostOn(hastb)).toEqual([]);
  });

  it('by a clean stop of both without a write in between lets neither serve alone: each may have missed something', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    await untilHandsOver({ primary: hasta, standby: hastb });
    await hasta.stop();
    await hastb.untilPrimary('storage');
    await hastb.stop();

    hastb.start();
    await untilGone(hastb, 'hasta');
    expect(await codesOf(hastb)).toEqual(['member-unknown']);
    expect(groupOf(await hastb.status(), 'storage')).toMatchObject({
      state: 'standby.waiting',
      badge: expect.stringMatching(/^blocked: disk1 is of unknown freshness/) as string,
    });
    hasta.start();
    await servingOf([hasta, hastb]);
  });
});

async function servingOf(daemons: readonly [LabDaemon, LabDaemon]): Promise<LabDaemon> {
  return Promise.any(daemons.map((daemon) => daemon.untilPrimary('storage').then(() => daemon)));
}
