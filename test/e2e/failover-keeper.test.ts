import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { type LabNode, NODES } from '../support/daemon.ts';
import {
  isAlive,
  isMounted,
  labWithFileSystem,
  loopsOf,
  removeRest,
  takesWrites,
  writeDurably,
} from '../support/device-lab.ts';
import { untilPaired } from '../support/failover.ts';
import type { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

const CLEANED_MS = 2000;
describe.skipIf(needs('root', 'fuse', 'nbdfuse', 'losetup', 'blkid', 'mkfs.ext4', 'e2fsck'))(
  'a mounted file system',
  () => {
    let lab: Lab;
    const mountpoint = (node: LabNode): string => join(lab.directory, node, 'mnt');

    afterEach(async () => {
      await lab.stop();
      for (const node of NODES) await removeRest(mountpoint(node), lab.places[node].stateDir);
      await lab.close();
    });

    it('of a killed primary is dead within 2 s, goes on at the other node, and is gone when the daemon is back', async () => {
      lab = await labWithFileSystem();
      const { hasta, hastb } = await lab.startPair();
      await untilPaired({ primary: hasta, standby: hastb });
      await writeDurably(join(mountpoint('hasta'), 'kept'), 'acknowledged');
      const nbdfuse = Number(
        await readFile(join(lab.places.hasta.stateDir, 'device/disk1/nbdfuse.pid'), 'utf8'),
      );
      expect(await isAlive(nbdfuse)).toBe(true);
      expect(await loopsOf(lab.places.hasta.stateDir)).toHaveLength(1);

      await hasta.kill();
      await eventually('nbdfuse gone', async () => !(await isAlive(nbdfuse)), CLEANED_MS);
      await eventually('the mount dead', async () => !(await takesWrites(mountpoint('hasta'))), CLEANED_MS);

      await hastb.untilPrimary('storage');
      expect(await readFile(join(mountpoint('hastb'), 'kept'), 'utf8')).toBe('acknowledged');
      await writeDurably(join(mountpoint('hastb'), 'later'), 'also acknowledged');

      hasta.start();
      await untilPaired({ primary: hastb, standby: hasta });
      expect(await isMounted(mountpoint('hasta'))).toBe(false);
      expect(await loopsOf(lab.places.hasta.stateDir)).toEqual([]);

      await hastb.request('switchover', { group: 'storage', to: 'hasta' }, 20_000);
      await hasta.untilPrimary('storage');
      expect(await readFile(join(mountpoint('hasta'), 'later'), 'utf8')).toBe('also acknowledged');
      expect(await isMounted(mountpoint('hastb'))).toBe(false);
    });
  },
);
