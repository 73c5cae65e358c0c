/** What is lost without a rule about hooks and devices, and not with it: the same story twice, on real daemons. */
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { type LabDaemon, type LabNode, NODES } from '../support/daemon.ts';
import {
  MKFS,
  addHooks,
  isMounted,
  killWithKeeper,
  labWithDevice,
  loopsOf,
  removeRest,
} from '../support/device-lab.ts';
import { serves, untilHandsOver } from '../support/failover.ts';
import type { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { withoutRule } from '../support/rules-off.ts';
import { eventually } from '../support/stamped-clients.ts';

describe.skipIf(needs('root', 'fuse', 'nbdfuse', 'losetup', 'blkid', 'mkfs.ext4', 'mountpoint', 'ps'))(
  'a shop on a file system',
  { timeout: 60_000 },
  () => {
    let lab: Lab;
    const at = (node: LabNode, ...rest: string[]): string => join(lab.directory, node, 'mnt', ...rest);
    const broken = (): string => join(lab.directory, 'broken');
    const hangs = (): string => join(lab.directory, 'hangs');
    const closed = (node: LabNode): string => join(lab.directory, `closed-${node}`);

    afterEach(async () => {
      await lab.stop();
      for (const node of NODES) await removeRest(at(node), lab.places[node].stateDir);
      await lab.close();
    });

    /**
     * A pair whose last hook opens the shop, which takes an order at once if it can, and says so when the file
     * system has it. The mount hook fails on the node that is `broken`, and is content with what is mounted already.
     * While it `hangs` the shop does not close, and saves what it knows in the end.
     */
    async function openShop(without: string | null): Promise<Readonly<Record<LabNode, LabDaemon>>> {
      lab = await labWithDevice();
      const mnt = `${lab.directory}/$HASTATE_NODE/mnt`;
      await lab.writeHook('10-mkfs', MKFS);
      const mount = [
        `mnt=${mnt}`,
        'case "$1" in',
        `start) [ "$HASTATE_NODE" != "$(cat ${broken()} 2>/dev/null)" ] || exit 1`,
        '  mountpoint -q "$mnt" || mount "$HASTATE_DEVICES" "$mnt" ;;',
        'stop) ! mountpoint -q "$mnt" || umount "$mnt" ;;',
        'esac',
      ];
      await lab.writeHook('20-mount', mount.join('\n'));
      const shop = [
        '# hastate: timeout=1s',
        'if [ "$1" != start ]; then',
        `  [ -e ${hangs()} ] || exit 0`,
        `  echo $$ >${lab.directory}/closes`,
        `  known=$(cat ${mnt}/orders)`,
        `  while [ -e ${hangs()} ]; do sleep 0.02; done`,
        `  echo "$known" >${mnt}/orders; sync; touch ${lab.directory}/closed-$HASTATE_NODE`,
        '  exit',
        'fi',
        `order="order $(date +%s%N) at $HASTATE_NODE"`,
        `echo "$order" >>${mnt}/orders && sync ${mnt}/orders && echo "$order" >>${lab.directory}/acknowledged`,
        'exit 0',
      ];
      await lab.writeHook('30-shop', shop.join('\n'));
      await addHooks(lab, ['10-mkfs: {}', '20-mount: {}', '30-shop: {}']);
      const pair = await withoutRule(without, () => lab.startPair());
      await untilHandsOver({ primary: pair.hasta, standby: pair.hastb });
      return pair;
    }

    const linesOf = async (path: string): Promise<string[]> =>
      (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
    const acknowledged = (): Promise<string[]> => linesOf(join(lab.directory, 'acknowledged'));
    /** Acknowledged orders that the shop at this node does not know. */
    async function lostAt(node: LabNode): Promise<string[]> {
      const known = await linesOf(at(node, 'orders'));
      return (await acknowledged()).filter((order) => !known.includes(order));
    }

    /** Asked for; how it ends is the story's business. */
    const switchOver = (from: LabDaemon, to: LabDaemon): void => {
      from.request('switchover', { group: 'storage', to: to.node }, 20_000).catch(() => undefined);
    };

    describe('whose node cannot mount it (C3)', () => {
      it('goes back to the other node, and no order is taken where they would be lost', async () => {
        const { hasta, hastb } = await openShop(null);
        await writeFile(broken(), 'hastb');
        switchOver(hasta, hastb);
        await eventually('a second order', async () => (await acknowledged()).length === 2);
        await rm(broken());
        await untilHandsOver({ primary: hasta, standby: hastb });
        expect(await acknowledged()).toEqual([
          expect.stringMatching(/ at hasta$/),
          expect.stringMatching(/ at hasta$/),
        ]);
        expect(await lostAt('hasta')).toEqual([]);
      });

      it('would open all the same without the rule, and lose the orders that it takes', async () => {
        const { hasta, hastb } = await openShop('C3');
        await writeFile(broken(), 'hastb');
        switchOver(hasta, hastb);
        await hastb.untilPrimary('storage');
        expect(await isMounted(at('hastb'))).toBe(false);
        await rm(broken());
        await untilHandsOver({ primary: hastb, standby: hasta });
        switchOver(hastb, hasta);
        await hasta.untilPrimary('storage');
        expect(await lostAt('hasta')).toEqual([expect.stringMatching(/ at hastb$/)]);
      });
    });

    describe('that does not close when it is told to (C3)', () => {
      /** There, and back while it still closes. */
      const moveTwice = async (without: string | null): Promise<void> => {
        const { hasta, hastb } = await openShop(without);
        await writeFile(hangs(), '');
        switchOver(hasta, hastb);
        await hastb.untilPrimary('storage');
        await untilHandsOver({ primary: hastb, standby: hasta });
        await hastb.request('switchover', { group: 'storage', to: 'hasta' }, 20_000);
        await hasta.untilPrimary('storage');
        expect(await acknowledged()).toHaveLength(3);
      };

      it('is ended before the other node opens, and knows every order when it is back', async () => {
        await moveTwice(null);
        const pid = (await readFile(join(lab.directory, 'closes'), 'utf8')).trim();
        expect(existsSync(`/proc/${pid}`)).toBe(false);
        await rm(hangs());
        expect(await lostAt('hasta')).toEqual([]);
      });

      it('would close without the rule when it is open again, and forget the orders taken since', async () => {
        await moveTwice('C3-stop');
        expect(await lostAt('hasta')).toEqual([]);
        await rm(hangs());
        await eventually('it has closed', () => existsSync(closed('hasta')));
        expect(await lostAt('hasta')).toEqual([
          expect.stringMatching(/ at hastb$/),
          expect.stringMatching(/ at hasta$/),
        ]);
      });
    });

    describe('that an earlier life left mounted (D1)', () => {
      const comeBack = async (without: string | null): Promise<LabDaemon> => {
        const { hasta, hastb } = await openShop(without);
        await killWithKeeper(hasta);
        expect(await isMounted(at('hasta'))).toBe(true);
        await hastb.untilPrimary('storage');
        withoutRule(without, () => hasta.start());
        await untilHandsOver({ primary: hastb, standby: hasta });
        return hasta;
      };

      it('is closed before this node follows the other one, and opens with every order', async () => {
        const hasta = await comeBack(null);
        expect(await isMounted(at('hasta'))).toBe(false);
        await hasta.request('switchover', { group: 'storage', to: 'hasta' }, 20_000);
        await hasta.until('serving', serves);
        expect(await loopsOf(lab.places.hasta.stateDir)).toHaveLength(1);
        expect(await lostAt('hasta')).toEqual([]);
      });

      it('would be left open without the rule beside a standby in sync, and show none of the orders taken since', async () => {
        const hasta = await comeBack('D1');
        expect(await isMounted(at('hasta'))).toBe(true);
        expect(await loopsOf(lab.places.hasta.stateDir)).toHaveLength(1);
        expect(await lostAt('hasta')).toEqual([expect.stringMatching(/ at hastb$/)]);
        expect((await hasta.status()).warnings).toEqual([]);
      });
    });
  },
);
