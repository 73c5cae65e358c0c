/** Devices that hang, die or stay behind, under real daemons: each is gone within its bound, and the log says why. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it, onTestFinished } from 'vitest';

import type { JournalEvent } from '../../src/protocol/control.ts';
import { type LabDaemon, type LabNode, NODES } from '../support/daemon.ts';
import {
  MKFS,
  addHooks,
  isMounted,
  killWithKeeper,
  labWithDevice,
  loopsOf,
  removeRest,
  takesWrites,
  writeDurably,
} from '../support/device-lab.ts';
import { journalOf, untilPaired } from '../support/failover.ts';
import type { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';
import { start, type Program } from '../unit/keeper/program.ts';

/** Aborting takes steps of 2 s each, after a hook of 5 s. */
const GONE_MS = 25_000;

describe.skipIf(needs('root', 'fuse', 'nbdfuse', 'losetup', 'blkid', 'mkfs.ext4', 'ps'))(
  'the device of a primary',
  () => {
    let lab: Lab;
    const mountpoint = (node: LabNode): string => join(lab.directory, node, 'mnt');

    afterEach(async () => {
      await lab.stop();
      for (const node of NODES) await removeRest(mountpoint(node), lab.places[node].stateDir);
      await lab.close();
    });

    /** A pair whose hook makes and mounts ext4. `stop` is what it does before the device goes. */
    async function pair(stop: string): Promise<Readonly<Record<LabNode, LabDaemon>>> {
      lab = await labWithDevice();
      const mount = [
        '# hastate: timeout=5s grace=1s',
        `mnt=${lab.directory}/$HASTATE_NODE/mnt`,
        'case "$1" in',
        'start) mount "$HASTATE_DEVICES" "$mnt" ;;',
        `stop) ${stop} ;;`,
        'esac',
      ];
      await lab.writeHook('20-mount', mount.join('\n'));
      await lab.writeHook('10-mkfs', MKFS);
      await addHooks(lab, ['10-mkfs: {}', '20-mount: {}']);
      const daemons = await lab.startPair();
      await untilPaired({ primary: daemons.hasta, standby: daemons.hastb });
      return daemons;
    }

    /** Writes and syncs until the device fails it. */
    async function writer(node: LabNode): Promise<Program> {
      const script = `while dd if=/dev/zero of=${mountpoint(node)}/busy bs=64k count=16 conv=fsync 2>/dev/null; do echo wrote; done; echo failed`;
      const program = start('sh', '-c', script);
      await program.line(/wrote/);
      return program;
    }

    const nbdfuseOf = async (node: LabNode): Promise<number> =>
      Number(await readFile(join(lab.places[node].stateDir, 'device/disk1/nbdfuse.pid'), 'utf8'));

    async function expectGone(node: LabNode, ms = GONE_MS): Promise<void> {
      await eventually('the mount gone', async () => !(await isMounted(mountpoint(node))), ms);
      await eventually(
        'the loop device gone',
        async () => (await loopsOf(lab.places[node].stateDir)).length === 0,
        ms,
      );
      const names = await readdir('/dev/hast').catch(() => []);
      expect(names.filter((name) => name.startsWith(`disk1-${node}-${process.pid}-`))).toEqual([]);
    }

    /** The device may be gone a little before its daemon notes how. */
    function untilNoted(daemon: LabDaemon, kind: JournalEvent['kind'], what: RegExp): Promise<void> {
      return eventually(`${kind} noted`, async () =>
        (await journalOf(daemon)).some((event) => event.kind === kind && what.test(event.message)),
      );
    }

    it.each([
      ['SIGSTOP', /taken away by force: .*umount/],
      ['SIGKILL', /nbdfuse had ended already/],
    ] as const)(
      'whose nbdfuse gets %s under a writer is taken away by a switchover, and the other node serves',
      { timeout: 60_000 },
      async (signal, why) => {
        const { hasta, hastb } = await pair('umount "$mnt"');
        await writeDurably(join(mountpoint('hasta'), 'kept'), 'acknowledged');
        const busy = await writer('hasta');
        process.kill(await nbdfuseOf('hasta'), signal);
        if (signal === 'SIGSTOP')
          await hasta.request('switchover', { group: 'storage', to: 'hastb' }, GONE_MS);
        else {
          await busy.line(/failed/);
          await hasta.request('switchover', { group: 'storage', to: 'hastb' }, GONE_MS);
        }
        await busy.line(/failed/);
        await hastb.untilPrimary('storage');
        await expectGone('hasta');
        await untilNoted(hasta, 'device.forced', why);
        expect(await readFile(join(mountpoint('hastb'), 'kept'), 'utf8')).toBe('acknowledged');
        await untilPaired({ primary: hastb, standby: hasta });
      },
    );

    it(
      'whose hook hangs with it is taken away all the same, and the group moves as it was asked to',
      { timeout: 60_000 },
      async () => {
        const { hasta, hastb } = await pair('sync -f "$mnt"; umount "$mnt"');
        const busy = await writer('hasta');
        process.kill(await nbdfuseOf('hasta'), 'SIGSTOP');
        const asked = hasta
          .request('switchover', { group: 'storage', to: 'hastb' }, 50_000)
          .catch((error: unknown) => error);
        await busy.line(/failed/);
        await expectGone('hasta');
        await untilNoted(hasta, 'device.forced', /taken away by force/);
        expect(await asked).not.toBeInstanceOf(Error);
        await hastb.untilPrimary('storage');
        await untilPaired({ primary: hastb, standby: hasta });
      },
    );

    it(
      'whose daemon is frozen under a writer is aborted by the keeper, and cleaned up when it thaws',
      { timeout: 60_000 },
      async () => {
        const { hasta, hastb } = await pair('umount "$mnt"');
        const busy = await writer('hasta');
        hasta.signal('SIGSTOP');
        onTestFinished(() => hasta.signal('SIGCONT'));
        await busy.line(/failed/);
        await eventually('the mount dead', async () => !(await takesWrites(mountpoint('hasta'))), GONE_MS);
        await hastb.untilPrimary('storage');
        hasta.signal('SIGCONT');
        await untilPaired({ primary: hastb, standby: hasta }, GONE_MS);
        await expectGone('hasta');
      },
    );

    it(
      'that a dead daemon and a dead keeper left behind is found and detached by the next life',
      { timeout: 60_000 },
      async () => {
        const { hasta, hastb } = await pair('umount "$mnt"');
        await killWithKeeper(hasta);
        expect(await isMounted(mountpoint('hasta'))).toBe(true);
        await hastb.untilPrimary('storage');

        hasta.start();
        await untilPaired({ primary: hastb, standby: hasta }, GONE_MS);
        await expectGone('hasta');
        await untilNoted(hasta, 'device.leftover', /an earlier life left mount .*mnt/);
      },
    );
  },
);
