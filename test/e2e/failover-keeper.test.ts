import { copyFile, mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';

import { type LabNode, NODES } from '../support/daemon.ts';
import { untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

const SHIPPED = fileURLToPath(new URL('../../hooks/', import.meta.url));
const CLEANED_MS = 2000;
/** The first promotion makes the file system through the device, so both disks get it. */
const MKFS =
  '[ "$1" != start ] || blkid "$HASTATE_DEVICES" >/dev/null || exec mkfs.ext4 -q -F "$HASTATE_DEVICES"';

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

    async function makeLab(): Promise<void> {
      lab = await Lab.make({ diskMiB: 48 });
      for (const name of await readdir(SHIPPED))
        await copyFile(join(SHIPPED, name), join(lab.hooksDir, name));
      await lab.writeHook('10-mkfs', MKFS);
      for (const node of NODES) await mkdir(mountpoint(node));
      // All nodes of this machine share one /dev.
      await lab.edit(lab.hastConf, (text) =>
        text.replaceAll(/\ton (hast.) \{\n/g, `$&\t\tname disk1-$1-${process.pid}\n`),
      );
      const mounts = `{ hasta: ${mountpoint('hasta')}, hastb: ${mountpoint('hastb')} }`;
      const hooks = ['hooks:', '  10-mkfs: {}', '  20-ext4:', `    mountpoint: ${mounts}`];
      await lab.edit(lab.hastateYaml, (text) =>
        text.replace('    device: none\n', hooks.map((line) => `    ${line}\n`).join('')),
      );
    }

    it('of a killed primary is dead within 2 s, goes on at the other node, and is gone when the daemon is back', async () => {
      await makeLab();
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

/** What a failed run leaves, so that it harms no other test. */
async function removeRest(mountpoint: string, stateDir: string): Promise<void> {
  const device = join(stateDir, 'device/disk1');
  await execa('umount', ['-l', mountpoint], { reject: false });
  for (const line of await loopsOf(stateDir))
    await execa('losetup', ['-d', line.split(' ', 1)[0] ?? ''], { reject: false });
  await execa('umount', ['-l', join(device, 'mnt')], { reject: false });
  const pid = Number(await readFile(join(device, 'nbdfuse.pid'), 'utf8').catch(() => '0'));
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (command.includes(device)) process.kill(pid, 'SIGKILL');
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function isMounted(path: string): Promise<boolean> {
  return (await readFile('/proc/self/mounts', 'utf8')).includes(` ${path} `);
}

async function takesWrites(directory: string): Promise<boolean> {
  if (!(await isMounted(directory))) return false;
  return writeDurably(join(directory, 'probe'), 'x').then(
    () => true,
    () => false,
  );
}

/** Zombies are dead. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat !== null && !/\) [ZX] /.test(stat);
}

/** Loop devices on files under that directory. */
async function loopsOf(directory: string): Promise<string[]> {
  const { stdout } = await execa('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE']);
  return stdout.split('\n').filter((line) => line.includes(directory));
}
