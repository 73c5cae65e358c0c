/** A place for a disk that can be made to stand still: whoever writes there waits inside the system call, and cannot be ended. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runCommand } from '../../src/device/run-command.ts';
import { NODES } from './daemon.ts';
import { Lab, type LabOptions, makeDisk } from './lab.ts';

export const FREEZABLE_NEEDS = ['root', 'fsfreeze', 'mkfs.ext4', 'mount'] as const;

const run = (...command: string[]) => runCommand(command, { timeoutMs: 10_000 });

/** A file system of its own in a file. */
export class FreezableDirectory {
  readonly path: string;
  readonly #directory: string;
  #frozen = false;

  private constructor(directory: string) {
    this.#directory = directory;
    this.path = join(directory, 'mount');
  }

  static async make(): Promise<FreezableDirectory> {
    const made = new FreezableDirectory(await mkdtemp(join(tmpdir(), 'hastate-freeze-')));
    const image = join(made.#directory, 'image');
    await mkdir(made.path);
    await makeDisk(image, 32);
    await run('mkfs.ext4', '-q', '-F', image);
    await run('mount', '-o', 'loop', image, made.path);
    return made;
  }

  async freeze(): Promise<void> {
    await run('fsfreeze', '-f', this.path);
    this.#frozen = true;
  }

  /** Idempotent. */
  async thaw(): Promise<void> {
    if (this.#frozen) await run('fsfreeze', '-u', this.path);
    this.#frozen = false;
  }

  /** When nobody uses it any more. */
  async close(): Promise<void> {
    await this.thaw();
    await run('umount', this.path);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Two nodes, hastb with its disk there. */
export async function labOn(
  place: FreezableDirectory,
  diskMiB: number,
  options: LabOptions = {},
): Promise<Lab> {
  const lab = await Lab.make({ ...options, create: false });
  try {
    const disk = join(place.path, 'disk');
    await makeDisk(lab.places.hasta.disk('disk1'), diskMiB);
    await makeDisk(disk, diskMiB);
    await lab.edit(lab.hastConf, (text) => text.replace(lab.places.hastb.disk('disk1'), disk));
    for (const node of NODES) {
      const made = await lab.hastate(node, 'create', 'disk1');
      if (made.code !== 0) throw new Error(`hastate create on ${node}: ${made.stderr}`);
    }
    return lab;
  } catch (error) {
    await lab.close();
    throw error;
  }
}
