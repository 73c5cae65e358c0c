/**
 * A block device with the kernel's cache before it: what was written and not flushed is gone when its power is cut,
 * and a durable write (O_DSYNC) flushes what it wrote and nothing else. Needs root and losetup.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import { built } from './built.ts';
import type { LabDaemon } from './daemon.ts';
import { makeDisk } from './lab.ts';
import { eventually } from './stamped-clients.ts';

export class LoopDisk {
  /** A link to the device: give it to a node as its disk. */
  readonly path: string;
  readonly #directory: string;
  #device: string | null = null;

  private constructor(path: string, directory: string) {
    this.path = path;
    this.#directory = directory;
  }

  /** Zeros, switched on. */
  static async make(path: string, mib: number): Promise<LoopDisk> {
    // In memory where that is possible: the medium's own flushes cost time and prove nothing.
    const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const disk = new LoopDisk(path, await mkdtemp(join(memory, 'hastate-loop-')));
    return built(disk, async () => {
      await makeDisk(disk.#medium, mib);
      await disk.switchOn();
    });
  }

  async switchOn(): Promise<void> {
    this.#device = (await execa('losetup', ['--find', '--show', this.#medium])).stdout;
    await rm(this.path, { force: true });
    await symlink(this.#device, this.path);
  }

  /** The daemon that uses it dies with it: the medium holds what had reached it at one moment. */
  async cutPower(daemon: LabDaemon): Promise<void> {
    const { pid } = daemon;
    daemon.signal('SIGSTOP');
    await eventually('nothing runs', () => standsStill(pid));
    const kept = `${this.#medium}.kept`;
    await copyFile(this.#medium, kept);
    await daemon.kill();
    // Its last user gone, the device writes what it still had to the file that nobody looks at any more.
    await this.#detach();
    await rename(kept, this.#medium);
  }

  /** When nobody uses it any more. */
  async close(): Promise<void> {
    await this.#detach();
    await rm(this.#directory, { recursive: true });
  }

  get #medium(): string {
    return join(this.#directory, 'medium');
  }

  async #detach(): Promise<void> {
    if (this.#device !== null) await execa('losetup', ['--detach', this.#device]);
    this.#device = null;
  }
}

/** Every thread of it is stopped. */
async function standsStill(pid: number): Promise<boolean> {
  const tasks = `/proc/${pid}/task`;
  for (const task of await readdir(tasks)) {
    const stat = await readFile(join(tasks, task, 'stat'), 'utf8');
    if (!stat.slice(stat.lastIndexOf(')')).startsWith(') T')) return false;
  }
  return true;
}
