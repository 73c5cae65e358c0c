/** Size and sector size of a local component. */
import { execFile } from 'node:child_process';
import type { Stats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { DiskError } from '../../model/errors.ts';

/** As hastd takes it for regular files. */
const FILE_SECTOR_BYTES = 512;
const DISKINFO_TIMEOUT_MS = 5000;

export interface DiskSize {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
}

/** @throws DiskError `disk-not-usable` */
export async function measureDisk(path: string, stats: Stats): Promise<DiskSize> {
  if (stats.isFile()) return { sizeBytes: stats.size, sectorBytes: FILE_SECTOR_BYTES };
  if (stats.isBlockDevice() && process.platform === 'linux') return measureLinuxDevice(path, stats.rdev);
  if ((stats.isCharacterDevice() || stats.isBlockDevice()) && process.platform === 'freebsd') {
    return measureProvider(path);
  }
  throw new DiskError(
    'disk-not-usable',
    `${path} is neither a regular file nor a disk; give "local" the path of one`,
  );
}

async function measureLinuxDevice(path: string, rdev: number): Promise<DiskSize> {
  const base = sysDirectory(rdev);
  try {
    const sectors = Number(await readFile(`${base}/size`, 'utf8'));
    return { sizeBytes: sectors * 512, sectorBytes: await logicalBlockSize(rdev) };
  } catch (cause) {
    throw new DiskError('disk-not-usable', `the size of ${path} cannot be read from ${base}`, { cause });
  }
}

async function logicalBlockSize(rdev: number): Promise<number> {
  const [own, whole] = queueDirectories(rdev);
  try {
    return Number(await readFile(`${own}/logical_block_size`, 'utf8'));
  } catch {
    return Number(await readFile(`${whole}/logical_block_size`, 'utf8'));
  }
}

/** Where Linux may tell a disk's limits: a partition has no queue, its disk has. */
export function queueDirectories(rdev: number): readonly [string, string] {
  const base = sysDirectory(rdev);
  return [`${base}/queue`, `${base}/../queue`];
}

function sysDirectory(rdev: number): string {
  const { major, minor } = deviceNumbers(rdev);
  return `/sys/dev/block/${major}:${minor}`;
}

/** glibc's gnu_dev_major and gnu_dev_minor. */
function deviceNumbers(rdev: number): { major: number; minor: number } {
  const dev = BigInt(rdev);
  return {
    major: Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n)),
    minor: Number((dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)),
  };
}

/** diskinfo prints: name, sector size, media size... */
async function measureProvider(path: string): Promise<DiskSize> {
  try {
    const { stdout } = await promisify(execFile)('diskinfo', [path], { timeout: DISKINFO_TIMEOUT_MS });
    const [, sector, size] = stdout.trim().split(/\s+/);
    const measured = { sizeBytes: Number(size), sectorBytes: Number(sector) };
    if (!(measured.sizeBytes > 0 && measured.sectorBytes > 0)) throw new Error(`diskinfo said: ${stdout}`);
    return measured;
  } catch (cause) {
    throw new DiskError('disk-not-usable', `diskinfo cannot tell the size of ${path}`, { cause });
  }
}
