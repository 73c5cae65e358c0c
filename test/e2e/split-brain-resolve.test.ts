import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ResolveResult } from '../../src/protocol/control.ts';
import { groupOf, type LabDaemon } from '../support/daemon.ts';
import { differences, journalOf, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { Namespaces } from '../support/netns.ts';
import { StampedClients } from '../support/stamped-clients.ts';

const ROLE_MS = 20_000;
/** Two nodes are started, split, met and copied anew, each of which waits for real times. */
const STORY_MS = 90_000;

describe.skipIf(needs('root', 'netns', 'nft'))(
  'a split-brain between two real nodes',
  { timeout: STORY_MS },
  () => {
    let namespaces: Namespaces;
    let lab: Lab;
    let clients: StampedClients | null = null;

    beforeEach(async () => {
      namespaces = await Namespaces.make();
      const groups = [{ name: 'storage', resources: ['disk1'], more: ['policy: available'] }];
      lab = await Lab.make({ groups, net: namespaces.net });
    });

    afterEach(async () => {
      await clients?.stop();
      await lab.close();
      await namespaces.close();
      clients = null;
    });

    /** Both serve and have written apart from each other; the network is still cut. */
    const split = async (): Promise<{ hasta: LabDaemon; hastb: LabDaemon; stamps: StampedClients }> => {
      const { hasta, hastb } = await lab.startPair();
      const stamps = (clients = new StampedClients([hasta, hastb]).start());
      await stamps.more('hasta');
      await expectRefused(hasta, 'hastb', 'no-split-brain');
      await namespaces.cutBoth('data0', 'peer0');
      await hastb.untilPrimary('storage');
      await stamps.more('hastb');
      await stamps.more('hasta');
      await stamps.stop();
      return { hasta, hastb, stamps };
    };

    const meet = async (...daemons: LabDaemon[]): Promise<void> => {
      await namespaces.heal();
      for (const daemon of daemons)
        await daemon.until('aware of the split-brain', (s) =>
          /split-brain/.test(groupOf(s, 'storage').badge),
        );
    };

    /** The group is primary on both nodes, and only hasta has written since they went apart. */
    const oneWrote = async (): Promise<{ hasta: LabDaemon; hastb: LabDaemon; stamps: StampedClients }> => {
      await lab.edit(lab.hastateYaml, (text) =>
        text.replace('policy: available', 'policy: available\n    after-split: discard-zero-changes'),
      );
      const { hasta, hastb } = await lab.startPair();
      const stamps = (clients = new StampedClients([hasta]).start());
      await stamps.more('hasta');
      await namespaces.cutBoth('data0', 'peer0');
      await hastb.untilPrimary('storage');
      await stamps.more('hasta');
      await stamps.stop();
      return { hasta, hastb, stamps };
    };

    const expectSame = async (): Promise<void> => {
      const { hasta, hastb } = lab.places;
      expect(await differences(hasta.disk('disk1'), hastb.disk('disk1'))).toEqual([]);
    };

    it('is resolved from the node that is kept: the other goes down on the word --demote and is copied in full', async () => {
      const { hasta, hastb, stamps } = await split();
      const cut = await lab.hastate('hasta', 'resolve', 'disk1', '--discard', 'hastb');
      expect(cut.stderr).toMatch(/hastb cannot be asked .* nothing was discarded .* start hastated on hastb/);
      expect(cut.code).not.toBe(0);
      await meet(hasta, hastb);

      const dry = await resolve(hasta, { discard: 'hastb', demote: true, dryRun: true });
      expect(dry).toMatchObject({ verdict: { answer: 'discard' }, done: false });
      for (const copy of [dry.keep, dry.discard]) {
        expect(copy).toMatchObject({ role: 'primary', record: { primary: copy.node } });
        expect(copy.dirtyExtents).toBeGreaterThan(0);
      }
      const { keepOnly, discardOnly, both } = dry.divergence ?? {};
      const sum = (...parts: ({ extents: number } | undefined)[]): number =>
        parts.reduce((total, part) => total + (part?.extents ?? Number.NaN), 0);
      expect(sum(keepOnly, both)).toBe(dry.keep.dirtyExtents);
      expect(sum(discardOnly, both)).toBe(dry.discard.dirtyExtents);
      await expectRefused(hasta, 'hastb', 'discard-is-primary');
      expect(await stamps.lostOn(hastb, 'hastb')).toEqual([]);

      const ran = await lab.hastate('hasta', 'resolve', 'disk1', '--discard', 'hastb', '--demote');
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      await untilPaired({ primary: hasta, standby: hastb });
      expect(await stamps.lostOn(hasta, 'hasta')).toEqual([]);
      for (const daemon of [hasta, hastb])
        expect(await asked(daemon)).toEqual([
          'an operator asks: hastate resolve disk1 --discard hastb --demote',
          expect.stringContaining(daemon === hasta ? 'is kept' : 'is given up'),
        ]);
      await hasta.stop();
      await hastb.stop();
      await expectSame();
    });

    it('is resolved on the node that gives up when nobody is primary: the kept one is promoted without force', async () => {
      const { hasta, hastb, stamps } = await split();
      await meet(hasta, hastb);
      await lab.edit(lab.hastateYaml, (text) => text.replace('policy: available', 'policy: manual'));
      for (const daemon of [hasta, hastb]) {
        await daemon.request('reload', {}, ROLE_MS);
        const given = await daemon.request('role', { role: 'secondary', resources: ['disk1'] }, ROLE_MS);
        expect(given).toMatchObject([{ error: null }]);
      }
      for (const daemon of [hasta, hastb])
        await daemon.until('secondary', (s) => groupOf(s, 'storage').state === 'standby.waiting');
      const ran = await lab.hastate('hasta', '--json', 'resolve', 'disk1', '--discard', 'hasta');
      expect(ran.code, ran.stdout + ran.stderr).toBe(0);
      expect(JSON.parse(ran.stdout)).toMatchObject({
        keep: { node: 'hastb', role: 'secondary' },
        done: true,
        notes: [],
      });
      await expect(promote(hasta)).rejects.toThrow(/outdated/);
      await promote(hastb);
      await untilPaired({ primary: hastb, standby: hasta });
      expect(await stamps.lostOn(hastb, 'hastb')).toEqual([]);
      await expectRefused(hastb, 'hasta', 'no-split-brain');
      await hastb.stop();
      await hasta.stop();
      await expectSame();
    });

    it('is resolved by the policy of its group once the node that wrote nothing is not primary any more', async () => {
      const { hasta, hastb, stamps } = await oneWrote();
      await meet(hasta, hastb);
      // Both serve: nothing is given up, and why is told.
      for (const daemon of [hasta, hastb])
        await expect
          .poll(() => policyOf(daemon), { timeout: ROLE_MS })
          .toContainEqual(expect.stringMatching(/hastb is primary, and what is served/));
      await lab.edit(lab.hastateYaml, (text) => text.replace('policy: available', 'policy: manual'));
      for (const daemon of [hasta, hastb]) await daemon.request('reload', {}, ROLE_MS);
      const given = await hastb.request('role', { role: 'secondary', resources: ['disk1'] }, ROLE_MS);
      expect(given).toMatchObject([{ error: null }]);
      await untilPaired({ primary: hasta, standby: hastb });
      expect(await stamps.lostOn(hasta, 'hasta')).toEqual([]);
      for (const daemon of [hasta, hastb])
        expect(await asked(daemon)).toEqual([
          "'after-split: discard-zero-changes' decides: hastate resolve disk1 --discard hastb",
          expect.stringContaining(daemon === hasta ? 'is kept' : 'is given up'),
        ]);
      await hasta.stop();
      await hastb.stop();
      await expectSame();
    });
  },
);

async function policyOf(daemon: LabDaemon): Promise<string[]> {
  return (await journalOf(daemon))
    .filter(({ kind }) => kind === 'split.policy')
    .map(({ message }) => message);
}

async function resolve(daemon: LabDaemon, order: Record<string, unknown>): Promise<ResolveResult> {
  return (await daemon.request('resolve', { resource: 'disk1', ...order }, ROLE_MS)) as ResolveResult;
}

function promote(daemon: LabDaemon): Promise<unknown> {
  return daemon.request('promote', { group: 'storage' }, ROLE_MS);
}

async function expectRefused(daemon: LabDaemon, discard: string, code: string): Promise<void> {
  const { verdict, done } = await resolve(daemon, { discard });
  expect(verdict).toMatchObject({ answer: 'refuse', reasons: [{ code }] });
  expect(done).toBe(false);
}

async function asked(daemon: LabDaemon): Promise<string[]> {
  const events = await journalOf(daemon);
  return events.filter(({ kind }) => kind === 'operator.resolve').map(({ message }) => message);
}
