/** A group that holds back by itself on real daemons, and the operator's word that ends it. */
import { createSocket } from 'node:dgram';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { encodeCarp } from '../../src/protocol/carp.ts';
import type { AddressStatus, NodeStatus } from '../../src/protocol/control.ts';
import { groupOf } from '../support/daemon.ts';
import { journalOf, untilHandsOver, untilPaired, whyNot } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';

/** After 1 s and 2 s. */
const THIRD_HOLD_MS = 4000;
const FLAPPING = /flapping: \d elections in 600 s/;

const addressOf = (status: NodeStatus): AddressStatus => {
  const { address } = groupOf(status, 'storage');
  if (address === null) throw new Error('storage has no address');
  return address;
};

describe('a held group', () => {
  let lab: Lab;
  afterEach(() => lab.close());

  it('that failed to start says so, and tries again at once when the operator ends the hold', async () => {
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], hooks: ['20-service'], address: true }],
    });
    const broken = join(lab.directory, 'broken');
    await lab.writeHook('20-service', `# hastate: verbs=start,stop\n[ "$1" = stop ] || [ ! -e ${broken} ]`);
    const { hasta, hastb } = await lab.startPair();
    await untilPaired({ primary: hasta, standby: hastb });
    await writeFile(broken, '');
    await hasta.kill();
    const failures = async (): Promise<number> =>
      (await journalOf(hastb)).filter(({ kind }) => kind === 'group.blocked').length;
    while ((await failures()) < 3)
      await hastb.until('held', (s) => groupOf(s, 'storage').state === 'holding');
    const held = groupOf(await hastb.status(), 'storage');
    expect(held.badge).toMatch(/^holding, tried again by itself: hook 20-service start exited with 1/);
    expect(held.address).toMatchObject({
      up: false,
      hold: expect.stringContaining('20-service start') as string,
    });
    expect((await whyNot(hastb)).verdict).toMatchObject({
      answer: 'wait',
      next: 'hastate groups --clear-hold storage',
    });
    await rm(broken);
    await hastb.request('groups', { clearHold: 'storage' });
    await hastb.until('serving', (s) => groupOf(s, 'storage').state === 'primary.serving');
    const journal = await journalOf(hastb);
    const at = (fits: (event: (typeof journal)[number]) => boolean): number =>
      journal.findLast(fits)?.at ?? NaN;
    const blocked = at(({ kind }) => kind === 'group.blocked');
    expect(at(({ kind }) => kind === 'group.hold-cleared')).toBeGreaterThan(blocked);
    expect(at(({ message }) => message.includes('primary.serving')) - blocked).toBeLessThan(THIRD_HOLD_MS);
  });

  it('whose address had too many elections says so, and takes part again when the operator ends the hold', async () => {
    lab = await Lab.make({ groups: [{ name: 'storage', resources: ['disk1'], address: true }] });
    await lab.edit(lab.hastateYaml, (text) =>
      text.replace('      driver: simulated', '$&\n      flap: { transitions: 2, within: 10m, hold: 10m }'),
    );
    const pair = await lab.startPair();
    const { hasta, hastb } = pair;
    // Somebody with hastb's address and the password is better than everybody, now and then.
    const stranger = createSocket('udp4');
    await new Promise<void>((resolve) => stranger.bind(0, lab.places.hastb.host, resolve));
    for (let elections = 0; elections < 3; elections += 1) {
      await hasta.until('MASTER', (s) => addressOf(s).state === 'MASTER' && addressOf(s).up);
      const key = Buffer.from('a password');
      const advert = encodeCarp({
        ...{ vhid: 80, advbase: 0, advskew: 0, counter: BigInt(elections + 1), key },
        ...{ addresses4: ['127.0.0.80'], addresses6: [] },
      });
      stranger.send(advert, lab.advertPort, lab.places.hasta.host);
      await hasta.until('elected', (s) => addressOf(s).elections > elections);
    }
    stranger.close();
    await hasta.until('MASTER', (s) => addressOf(s).state === 'MASTER' && addressOf(s).up);
    await untilHandsOver({ primary: hasta, standby: hastb });
    expect(await lab.hastate('hasta', 'switchover', 'storage')).toMatchObject({ code: 0 });
    await hastb.untilPrimary('storage');
    const held = await hasta.until('held', (s) => addressOf(s).hold !== null);
    expect(addressOf(held)).toMatchObject({
      state: 'BACKUP',
      hold: expect.stringMatching(FLAPPING) as string,
    });
    expect((await lab.hastate('hasta', 'groups')).stdout).toMatch(FLAPPING);

    const cleared = await lab.hastate('hasta', 'groups', '--clear-hold', 'storage');
    expect(cleared.code).toBe(0);
    expect(cleared.stdout).not.toContain('held');
    expect(addressOf(await hasta.status())).toMatchObject({ hold: null, elections: 0, state: 'BACKUP' });
    expect((await lab.hastate('hasta', 'groups', '--clear-hold', 'sotrage')).stderr).toContain(
      "there is no group 'sotrage'",
    );
  });
});
