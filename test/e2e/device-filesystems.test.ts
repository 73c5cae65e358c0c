/** ext4 and xfs on the replicated device: what is left of them after the daemon was killed, and what TRIM gives back. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';

import { type LabNode, NODES } from '../support/daemon.ts';
import { addHooks, isMounted, labWithDevice, removeRest, writeDurably } from '../support/device-lab.ts';
import { differences, untilPaired } from '../support/failover.ts';
import type { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';
import { start } from '../unit/keeper/program.ts';

const MIB = 1024 * 1024;
const CLEANED_MS = 10_000;

/** How to make one, how to bring it back after a crash, and how to ask whether it is clean. */
const FILE_SYSTEMS = {
  ext4: {
    diskMiB: 48,
    make: 'mkfs.ext4 -q -F',
    recover: 'e2fsck -p "$dev" || [ $? -le 1 ]',
    check: 'e2fsck -fn',
  },
  // Its log is replayed by mounting.
  xfs: {
    diskMiB: 320,
    make: 'mkfs.xfs -q -f',
    recover: 'mount "$dev" "$mnt" && umount "$mnt"',
    check: 'xfs_repair -n',
  },
} as const;

describe.skipIf(
  needs(
    'root',
    'fuse',
    'nbdfuse',
    'losetup',
    'blkid',
    'mkfs.ext4',
    'e2fsck',
    'mkfs.xfs',
    'xfs_repair',
    'fstrim',
  ),
)('a file system on the device', () => {
  let lab: Lab;
  const mountpoint = (node: LabNode): string => join(lab.directory, node, 'mnt');

  afterEach(async () => {
    await lab.stop();
    for (const node of NODES) await removeRest(mountpoint(node), lab.places[node].stateDir);
    await lab.close();
  });

  /** Its hook refuses to start when the check finds anything. */
  async function make(type: keyof typeof FILE_SYSTEMS): Promise<void> {
    const { diskMiB, make, recover, check } = FILE_SYSTEMS[type];
    lab = await labWithDevice({ diskMiB });
    const hook = [
      '# hastate: timeout=60s',
      'dev=$HASTATE_DEVICES',
      `mnt=${lab.directory}/$HASTATE_NODE/mnt`,
      'case "$1" in',
      'start)',
      `blkid "$dev" >/dev/null || ${make} "$dev" || exit 1`,
      `{ ${recover}; } && ${check} "$dev" && mount "$dev" "$mnt" && echo clean >>${lab.directory}/checks ;;`,
      'stop) umount "$mnt" ;;',
      'esac',
    ];
    await lab.writeHook('20-mount', hook.join('\n'));
    await addHooks(lab, ['20-mount: {}']);
  }

  const checks = async (): Promise<number> =>
    (await readFile(join(lab.directory, 'checks'), 'utf8')).split('\n').length - 1;

  it.each(['ext4', 'xfs'] as const)(
    'is clean and has every synced file after its daemon was killed under a writer: %s',
    { timeout: 90_000 },
    async (type) => {
      await make(type);
      const hasta = lab.daemon('hasta').start();
      await hasta.promoteAlone('storage');
      await hasta.untilPrimary('storage', 30_000);
      const mnt = mountpoint('hasta');
      const script = `i=0; while i=$((i+1)); echo $i >${mnt}/$((i%50)) && sync ${mnt}/$((i%50)) && echo synced $i; do :; done 2>/dev/null`;
      const writer = start('sh', '-c', script);
      await writer.line(/synced 60/);
      await hasta.kill();
      await writer.exited;
      const synced = writer.lines.flatMap((line) => /^synced (\d+)$/.exec(line)?.[1] ?? []);
      await eventually('the keeper done', async () => !(await takesReads(mnt)), CLEANED_MS);

      hasta.start();
      await hasta.untilPrimary('storage', 30_000);
      expect(await checks()).toBe(2);
      for (const number of synced.slice(-50)) {
        const found = Number(await readFile(join(mnt, String(Number(number) % 50)), 'utf8'));
        // The writer may have gone on with the same file.
        expect(found).toBeGreaterThanOrEqual(Number(number));
      }
      expect(synced.length).toBeGreaterThanOrEqual(60);
    },
  );

  it(
    'gives space back on both nodes when it is trimmed, and both disks stay equal',
    { timeout: 60_000 },
    async (context) => {
      await make('ext4');
      const { hasta, hastb } = await lab.startPair();
      await untilPaired({ primary: hasta, standby: hastb });
      const big = join(mountpoint('hasta'), 'big');
      await execa('dd', ['if=/dev/urandom', `of=${big}`, 'bs=1M', 'count=20', 'conv=fsync', 'status=none']);
      await writeDurably(join(mountpoint('hasta'), 'kept'), 'kept');
      const used = () =>
        Promise.all(NODES.map(async (node) => (await stat(lab.places[node].disk('disk1'))).blocks * 512));
      const before = await used();
      await execa('rm', [big]);
      await execa('sync', ['-f', mountpoint('hasta')]);
      const trimmed = await execa('fstrim', ['-v', mountpoint('hasta')], { reject: false });
      // Where the disks' file system punches no holes TRIM is not offered.
      if (/not supported/.test(trimmed.stderr)) context.skip();
      expect(trimmed.stdout).toMatch(/trimmed/);
      const after = await used();
      for (const [i, bytes] of after.entries()) expect(bytes).toBeLessThan((before[i] ?? 0) - 15 * MIB);

      const [one, other] = NODES.map((node) => lab.places[node].disk('disk1'));
      await eventually(
        'both disks equal',
        async () => (await differences(one ?? '', other ?? '')).length === 0,
      );

      await hasta.request('switchover', { group: 'storage', to: 'hastb' }, 30_000);
      await hastb.untilPrimary('storage');
      expect(await readFile(join(mountpoint('hastb'), 'kept'), 'utf8')).toBe('kept');
      expect(await checks()).toBe(2);
    },
  );
});

async function takesReads(mnt: string): Promise<boolean> {
  if (!(await isMounted(mnt))) return false;
  const run = await execa('dd', [`if=${mnt}/1`, 'of=/dev/null', 'iflag=direct', 'bs=4k', 'status=none'], {
    reject: false,
  });
  return run.exitCode === 0;
}
