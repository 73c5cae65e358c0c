/** A local disk that tests can break: served by nbdkit with its filters, seen as a file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runCommand } from '../../src/device/run-command.ts';
import { built } from './built.ts';
import { eventually } from './stamped-clients.ts';

export const FAULTY_DISK_NEEDS = ['root', 'fuse', 'nbdkit', 'nbdfuse', 'fusermount'] as const;
const THERE_MS = 10_000;

/** A file in memory behind nbdkit behind nbdfuse. */
export class FaultyDisk {
  readonly directory: string;
  readonly trigger: string;
  readonly #mount: string;
  #server: ChildProcess | null = null;
  #fuse: ChildProcess | null = null;

  private constructor(directory: string) {
    this.directory = directory;
    this.trigger = join(directory, 'fault');
    this.#mount = join(directory, 'mount');
  }

  static async make(
    filters: readonly string[] = [],
    parameters: (trigger: string) => string[] = () => [],
  ): Promise<FaultyDisk> {
    const disk = new FaultyDisk(await mkdtemp(join(tmpdir(), 'hastate-disk-')));
    return built(disk, () => disk.#build(filters, parameters(disk.trigger)));
  }

  async #build(filters: readonly string[], parameters: readonly string[]): Promise<void> {
    const socket = join(this.directory, 'nbd.sock');
    await mkdir(this.#mount);
    const words = filters.map((filter) => `--filter=${filter}`);
    const memory = ['memory', `size=${8 * 1024 * 1024}`];
    this.#server = spawn('nbdkit', ['-f', '-U', socket, ...words, ...memory, ...parameters], {
      stdio: 'ignore',
    });
    await untilThere(socket);
    const pidfile = join(this.directory, 'pid');
    this.#fuse = spawn('nbdfuse', ['-P', pidfile, this.path, '--unix', socket], { stdio: 'ignore' });
    await untilThere(this.path);
  }

  get path(): string {
    return join(this.#mount, 'disk');
  }

  /** The whole back end stands still: everything that asks it waits. */
  hang(): void {
    this.#server?.kill('SIGSTOP');
  }

  goOn(): void {
    this.#server?.kill('SIGCONT');
  }

  /** Everything that asks it from now on, or waits for it, gets an error. */
  vanish(): void {
    this.#server?.kill('SIGKILL');
  }

  async close(): Promise<void> {
    this.goOn();
    this.#server?.kill('SIGKILL');
    this.#fuse?.kill('SIGKILL');
    await runCommand(['fusermount', '-u', '-z', this.#mount], { timeoutMs: 5000 }).catch(() => undefined);
    await rm(this.directory, { recursive: true, force: true }).catch(() => undefined);
  }
}

function untilThere(path: string): Promise<void> {
  const isThere = (): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );
  return eventually(`${path} is there`, isThere, THERE_MS);
}
