/** A resource's disk or file, opened by `create` and `dump` while no daemon uses it. */
import { execFile } from 'node:child_process';
import type { Stats } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { CliError, EXIT } from './exit.ts';
import { capitalized } from './meet.ts';
import { systemText } from '../config/files.ts';

export interface LocalComponent {
  readonly file: FileHandle;
  /** Bytes. */
  readonly mediasize: number;
  readonly sectorsize: number;
}

/** hastd takes 512 for every regular file. */
const FILE_SECTOR = 512;

/**
 * Opens a local component. The caller closes `file`.
 * @throws CliError 66 when it cannot be opened or is neither disk nor file
 */
export async function openLocal(path: string, flags: 'r' | 'r+'): Promise<LocalComponent> {
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (cause) {
    throw new CliError(EXIT.noInput, `Unable to open ${path}: ${capitalized(systemText(cause))}.`, {
      cause,
      hint: "create or attach it, or correct 'local' in hast.conf",
    });
  }
  try {
    const { mediasize, sectorsize } = await geometry(path, await file.stat());
    return { file, mediasize, sectorsize };
  } catch (cause) {
    await file.close();
    if (cause instanceof CliError) throw cause;
    throw new CliError(
      EXIT.noInput,
      `cannot find out the size of ${path}: ${systemText(cause)}; is it a disk?`,
      { cause },
    );
  }
}

async function geometry(path: string, info: Stats): Promise<{ mediasize: number; sectorsize: number }> {
  if (info.isFile()) return { mediasize: info.size, sectorsize: FILE_SECTOR };
  if (info.isBlockDevice() && process.platform === 'linux') return linuxDisk(info.rdev);
  if (info.isCharacterDevice() && process.platform === 'freebsd') return freebsdDisk(path);
  throw new CliError(
    EXIT.noInput,
    `${path} is neither a disk nor a regular file; correct 'local' in hast.conf`,
  );
}

async function linuxDisk(rdev: number): Promise<{ mediasize: number; sectorsize: number }> {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const directory = `/sys/dev/block/${major}:${minor}`;
  const number = async (name: string): Promise<number> =>
    Number(await readFile(`${directory}/${name}`, 'utf8'));
  // A partition has no queue of its own. Sizes in sysfs are in units of 512 bytes, always.
  const sectorsize = await number('queue/logical_block_size').catch(() =>
    number('../queue/logical_block_size'),
  );
  return { mediasize: (await number('size')) * 512, sectorsize };
}

async function freebsdDisk(path: string): Promise<{ mediasize: number; sectorsize: number }> {
  const { stdout } = await promisify(execFile)('/usr/sbin/diskinfo', [path], { timeout: 5000 });
  const [, sectorsize, mediasize] = stdout.trim().split(/\s+/);
  return { mediasize: Number(mediasize), sectorsize: Number(sectorsize) };
}

/**
 * Takes hastd's lock on a component until it is closed.
 * @returns false when the lock cannot be taken here because a native package is missing
 * @throws CliError 66 when a daemon holds it
 */
export async function lockLocal(path: string, { file }: LocalComponent): Promise<boolean> {
  const setFlock = loadFlock();
  if (setFlock === null) return false;
  await new Promise<void>((resolve, reject) => {
    setFlock(file.fd, 1, (cause) => {
      const message = `${path} is in use by a daemon; run 'hastate role init' for its resource first, or in a group 'hastate stop'`;
      if (cause) reject(new CliError(EXIT.noInput, message, { cause }));
      else resolve();
    });
  });
  return true;
}

type SetFlock = (fd: number, value: 0 | 1, done: (error?: Error | null) => void) => void;

function loadFlock(): SetFlock | null {
  try {
    const native = createRequire(import.meta.url)('@ronomon/direct-io') as { setFlock?: unknown };
    return typeof native.setFlock === 'function' ? (native.setFlock as SetFlock) : null;
  } catch {
    return null;
  }
}
