/** Two nodes whose group has a file system on its device, and what tells how that device fares. */
import { cp, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';

import { removeDeviceName } from '../../src/device/device-name.ts';
import { type LabDaemon, NODES } from './daemon.ts';
import { Lab, type LabOptions } from './lab.ts';

const SHIPPED = fileURLToPath(new URL('../../hooks/', import.meta.url));
let labs = 0;

/** The first promotion makes the file system through the device, so both disks get it. */
export const MKFS =
  '[ "$1" != start ] || blkid "$HASTATE_DEVICES" >/dev/null || exec mkfs.ext4 -q -F "$HASTATE_DEVICES"';

/** The shipped ext4 hook mounts on `mnt` of each node's directory. */
export async function labWithFileSystem(options: LabOptions = {}): Promise<Lab> {
  const lab = await labWithDevice(options);
  await cp(SHIPPED, lab.hooksDir, { recursive: true });
  await lab.writeHook('10-mkfs', MKFS);
  const mounts = NODES.map((node) => `${node}: ${join(lab.directory, node, 'mnt')}`).join(', ');
  await addHooks(lab, ['10-mkfs: {}', '20-ext4:', `  mountpoint: { ${mounts} }`]);
  return lab;
}

/** Devices, and an empty `mnt` in each node's directory; no hooks yet, see addHooks(). */
export async function labWithDevice(options: LabOptions = {}): Promise<Lab> {
  const lab = await Lab.make({ diskMiB: 48, ...options });
  for (const node of NODES) await mkdir(join(lab.directory, node, 'mnt'));
  // All nodes of this machine share one /dev.
  const unique = `${process.pid}-${++labs}`;
  await lab.edit(lab.hastConf, (text) =>
    text.replaceAll(/\ton (hast.) \{\n/g, `$&\t\tname disk1-$1-${unique}\n`),
  );
  return lab;
}

/** @param hooks lines of hastate.yaml, below `hooks:` of the one group, which gets a device with them */
export async function addHooks(lab: Lab, hooks: readonly string[]): Promise<void> {
  const lines = ['hooks:', ...hooks.map((line) => `  ${line}`)];
  await lab.edit(lab.hastateYaml, (text) =>
    text.replace('    device: none\n', lines.map((line) => `    ${line}\n`).join('')),
  );
}

/** What a failed run leaves, so that it harms no other test. */
export async function removeRest(mountpoint: string, stateDir: string): Promise<void> {
  const device = join(stateDir, 'device/disk1');
  await execa('umount', ['-l', mountpoint], { reject: false });
  for (const line of await loopsOf(stateDir))
    await execa('losetup', ['-d', line.split(' ', 1)[0] ?? ''], { reject: false });
  await execa('umount', ['-l', join(device, 'mnt')], { reject: false });
  await removeDeviceName(join(device, 'name.json'));
  const pid = Number(await readFile(join(device, 'nbdfuse.pid'), 'utf8').catch(() => '0'));
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (command.includes(device)) process.kill(pid, 'SIGKILL');
}

/** Ends a daemon and its keeper, so that nobody cleans up behind them. */
export async function killWithKeeper(daemon: LabDaemon): Promise<void> {
  const { stdout } = await execa('ps', ['-o', 'pid=,args=', '--ppid', String(daemon.pid)]);
  const keepers = stdout.split('\n').filter((line) => line.includes('keeper'));
  if (keepers.length !== 1) throw new Error(`${keepers.length} keepers of ${daemon.node}: ${stdout}`);
  const keeper = Number.parseInt(keepers[0] ?? '', 10);
  process.kill(keeper, 'SIGSTOP');
  await daemon.kill();
  process.kill(keeper, 'SIGKILL');
}

export async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function isMounted(path: string): Promise<boolean> {
  return (await readFile('/proc/self/mounts', 'utf8')).includes(` ${path} `);
}

export async function takesWrites(directory: string): Promise<boolean> {
  if (!(await isMounted(directory))) return false;
  return writeDurably(join(directory, 'probe'), 'x').then(
    () => true,
    () => false,
  );
}

/** Zombies are dead. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat !== null && !/\) [ZX] /.test(stat);
}

/** Loop devices on files under that directory. */
export async function loopsOf(directory: string): Promise<string[]> {
  const { stdout } = await execa('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE']);
  return stdout.split('\n').filter((line) => line.includes(directory));
}
