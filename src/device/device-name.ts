/**
 * The stable name of a device: a symbolic link, recorded beside the device's state so that it
 * never outlives the device and points to somebody else's.
 */
import {
  access,
  constants,
  mkdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DiskError } from '../model/errors.ts';
import type { DriverOptions } from './attach.ts';
import { listLoops } from './mounts.ts';

interface NameRecord {
  readonly path: string;
  readonly target: string;
}

/** Directory of stable names: /dev/hast where root may make it, so that scripts for hastd find their devices. */
export async function deviceDirectory({ deviceDir, stateDir }: DriverOptions): Promise<string> {
  if (deviceDir !== undefined) return deviceDir;
  const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
  const writable = await access('/dev', constants.W_OK).then(
    () => true,
    () => false,
  );
  return isRoot && writable ? '/dev/hast' : join(stateDir, 'dev');
}

/** Makes `path` point to `target`. @throws DiskError `device-name-taken` when it names somebody else's live device */
export async function setDeviceName(path: string, target: string, recordPath: string): Promise<void> {
  await refuseTaken(path, target);
  await mkdir(dirname(path), { recursive: true });
  const record: NameRecord = { path, target };
  await writeFile(recordPath, JSON.stringify(record), { mode: 0o600 });
  const next = `${path}.${process.pid}`;
  await rm(next, { force: true });
  await symlink(target, next);
  await rename(next, path);
}

/** Removes the recorded name if it still is ours. */
export async function removeDeviceName(recordPath: string): Promise<void> {
  const record = await readRecord(recordPath);
  if (record === null) return;
  const target = await readlink(record.path).catch(() => null);
  if (target === record.target) await rm(record.path, { force: true });
  await rm(recordPath, { force: true });
}

async function refuseTaken(path: string, target: string): Promise<void> {
  const current = await readlink(path).catch(errorCode);
  if (current === 'ENOENT' || current === target) return;
  const loops = await listLoops();
  if (current !== 'EINVAL' && !loops.some((loop) => loop.path === current)) return;
  throw new DiskError(
    'device-name-taken',
    `${path} is already in use${current === 'EINVAL' ? '' : ` for ${current}`}: ` +
      'another node on this machine, or something else, has that name; detach it or give each node its own device directory',
  );
}

async function readRecord(recordPath: string): Promise<NameRecord | null> {
  try {
    const { path, target } = JSON.parse(await readFile(recordPath, 'utf8')) as Partial<NameRecord>;
    return typeof path === 'string' && typeof target === 'string' ? { path, target } : null;
  } catch {
    return null;
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
