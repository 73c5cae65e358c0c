/**
 * A local component on a disk with a volatile cache: what was written and not flushed is gone when
 * its power is cut. A regular file by nbdfuse over nbdkit's cache. Needs root, fuse, nbdkit, nbdfuse, fusermount3.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';

import { execa } from 'execa';

import { eventually } from '../stamped-clients.ts';

const UNMOUNT_MS = 10_000;

export class PowerDisk {
  /** Where it is to be found: give it to a node as its disk. */
  readonly path: string;
  readonly #backing: string;
  #kit: ChildProcess | null = null;
  #fuse: ChildProcess | null = null;

  private constructor(path: string, backing: string) {
    this.path = path;
    this.#backing = backing;
  }

  /** Zeros, switched on. @param backing the file that holds what was flushed; `backing`.* are its sockets */
  static async make(path: string, backing: string, bytes: number): Promise<PowerDisk> {
    for (const [file, size] of [
      [path, 0],
      [backing, bytes],
    ] as const) {
      const handle = await open(file, 'w');
      await handle.truncate(size);
      await handle.close();
    }
    const disk = new PowerDisk(path, backing);
    await disk.switchOn();
    return disk;
  }

  async switchOn(): Promise<void> {
    const [socket, ready] = [`${this.#backing}.sock`, `${this.#backing}.pid`];
    await rm(socket, { force: true });
    await rm(ready, { force: true });
    const options = { stdio: 'ignore', detached: false } as const;
    const words = ['-f', '-U', socket, '--filter=cache', 'file', this.#backing, 'cache=writeback'];
    this.#kit = spawn('nbdkit', words, options);
    await eventually('nbdkit listens', () => existsSync(socket));
    await eventually('nbdfuse is ready', async () => {
      // One that could not mount just then ends at once.
      if (this.#fuse === null || this.#fuse.exitCode !== null)
        this.#fuse = spawn('nbdfuse', ['-P', ready, this.path, '--unix', socket], options);
      return (await readFile(ready, 'utf8').catch(() => '')).length > 0;
    });
  }

  /** Stands still, so that whoever uses it can be ended with nothing written after that. */
  freeze(): void {
    this.#kit?.kill('SIGSTOP');
  }

  /** The cache is lost. Whoever has it open gets errors. Idempotent. */
  async cutPower(): Promise<void> {
    await ended(this.#kit, 'SIGKILL');
    this.#kit = null;
    if (this.#fuse === null) return;
    await eventually('unmounted', () => this.#unmount(), UNMOUNT_MS);
    await ended(this.#fuse, 'SIGKILL');
    this.#fuse = null;
  }

  async #unmount(): Promise<boolean> {
    const { exitCode } = await execa('fusermount3', ['-u', this.path], { reject: false });
    return exitCode === 0;
  }
}

async function ended(process: ChildProcess | null, signal: NodeJS.Signals): Promise<void> {
  if (process === null || process.exitCode !== null || process.signalCode !== null) return;
  const exited = new Promise((resolve) => process.once('exit', resolve));
  process.kill(signal);
  await exited;
}
