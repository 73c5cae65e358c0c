/** What Linux has mounted and attached to loop devices. Reads only /proc and /sys, which never hang with a device. */
import { readFile, readdir } from 'node:fs/promises';
import { basename } from 'node:path';

const LOOP_MAJOR = 7;

export interface Mount {
  readonly path: string;
  /** e.g. `ext4`, `fuse`. */
  readonly type: string;
  /** e.g. `/dev/loop0`. */
  readonly source: string;
  readonly major: number;
  readonly minor: number;
}

export interface LoopDevice {
  /** e.g. `/dev/loop0`. */
  readonly path: string;
  readonly backingFile: string;
  readonly directIo: boolean;
  /** Names of block devices on top of it. */
  readonly holders: readonly string[];
}

/** In the order in which they were mounted. */
export async function listMounts(): Promise<Mount[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, , path] = left.split(' ');
    const [type, source] = right.split(' ');
    if (device === undefined || path === undefined || type === undefined || source === undefined) return [];
    const [major = NaN, minor = NaN] = device.split(':').map(Number);
    return [{ path: unescapeOctal(path), type, source: unescapeOctal(source), major, minor }];
  });
}

/** Loop devices that have something attached. */
export async function listLoops(): Promise<LoopDevice[]> {
  const names = (await readdir('/sys/block').catch(() => [])).filter((name) => name.startsWith('loop'));
  const loops = await Promise.all(names.map(readLoop));
  return loops.filter((loop) => loop !== null);
}

/** What is mounted from a loop device: some file systems show another device number, but then its path. */
export function mountsOf(loop: LoopDevice, mounts: readonly Mount[]): Mount[] {
  const minor = Number(basename(loop.path).slice('loop'.length));
  return mounts.filter(
    (mount) => mount.source === loop.path || (mount.major === LOOP_MAJOR && mount.minor === minor),
  );
}

async function readLoop(name: string): Promise<LoopDevice | null> {
  const directory = `/sys/block/${name}`;
  const file = await readFile(`${directory}/loop/backing_file`, 'utf8').catch(() => null);
  if (file === null) return null;
  const directIo = await readFile(`${directory}/loop/dio`, 'utf8').catch(() => '');
  return {
    path: `/dev/${name}`,
    backingFile: file.trim().replace(/ \(deleted\)$/, ''),
    directIo: directIo.trim() === '1',
    holders: await readdir(`${directory}/holders`).catch(() => []),
  };
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
