/**
 * One machine of a story: a network namespace of its own, in it one mount and UTS namespace for everything that runs
 * there, with its own /run, /dev/hast, /etc and host id. A crash ends every process of it at once; what they had
 * mounted and attached is taken away before it boots again, as by a machine that lost its power.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

import { listLoops } from '../../src/device/mounts.ts';
import { talk } from './talker.ts';

const BOOT = `set -e
hostname "$1"
mkdir -p /dev/hast && mount -t tmpfs none /dev/hast
mount -t tmpfs none "$2" && cp -a /etc "$2/etc" && mount --bind "$2/etc" /etc
printf "$3" >/etc/hostid
mount -t tmpfs none /run && mkdir -p /run/zfs /run/lock/zfs
[ ! -d /var/lib/zfs ] || mount -t tmpfs none /var/lib/zfs
echo booted
exec sleep infinity
`;
const BOOT_MS = 10_000;
const ZFS_MS = 10_000;
const ZFS_STARTS = 3;
const POLL_MS = 20;
/** What nbdfuse shows, seen from nowhere. */
const GONE_FILE = '/nbd';

export class StoryNode {
  readonly name: string;
  /** Words before a program that is to run on this machine; they become it. */
  readonly enter: readonly string[];
  readonly #netns: string;
  readonly #init: ChildProcess;
  readonly #pid: number;
  readonly #directory: string;

  private constructor(name: string, netns: string, init: ChildProcess, directory: string) {
    this.name = name;
    this.#netns = netns;
    this.#init = init;
    this.#pid = init.pid ?? 0;
    this.#directory = directory;
    this.enter = ['nsenter', '-m', '-u', '-n', '-t', String(this.#pid), '--'];
  }

  /** @param hostId 1..9, another one for each machine */
  static async boot(name: string, netns: string, hostId: number): Promise<StoryNode> {
    const directory = await mkdtemp(join(tmpdir(), 'hastate-machine-'));
    const own = ['unshare', '-m', '-u', '--propagation', 'slave', '/bin/sh', '-c', BOOT, 'sh'];
    const id = `\\00${hostId}\\002\\003\\004`;
    const init = spawn('ip', ['netns', 'exec', netns, ...own, name, directory, id]);
    const node = new StoryNode(name, netns, init, directory);
    try {
      await talk(init).line((line) => line === 'booted', BOOT_MS);
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  /** A path of this machine as others see it: through its mounts. */
  path(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  /** Runs a command on this machine to its end, however it ends. */
  run(...command: readonly string[]) {
    const [program = '', ...args] = [...this.enter, ...command];
    return execa(program, args, { reject: false, timeout: 60_000, all: true });
  }

  /** The same. @throws ExecaError when it fails */
  async must(...command: readonly string[]): Promise<string> {
    const [program = '', ...args] = [...this.enter, ...command];
    return (await execa(program, args, { timeout: 60_000 })).stdout;
  }

  /** Now and then such a daemon dies silently: it is started again. */
  async startZfs(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const words = [...this.enter, 'zfs-fuse', '-n', '--no-kstat-mount', '-m', '64'];
      const daemon = spawn(words[0] ?? '', words.slice(1), { stdio: 'ignore' });
      const deadline = performance.now() + ZFS_MS;
      while (performance.now() < deadline && daemon.exitCode === null && daemon.signalCode === null) {
        if ((await this.run('zpool', 'list')).exitCode === 0) return;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      daemon.kill('SIGKILL');
      if (tries === ZFS_STARTS) throw new Error(`zfs-fuse of ${this.name} did not start`);
    }
  }

  /** kill -9 of everything that runs here, at once. */
  async crash(): Promise<void> {
    for (let pids = await this.#pids(); pids.length > 0; pids = await this.#pids()) {
      for (const pid of pids) killOne(pid);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS / 4));
    }
  }

  /** Nothing is mounted below that directory any more, and the loop devices that have names here are free. */
  async powerOff(directory: string): Promise<void> {
    // Once their file's mount is gone nothing else tells whose they are.
    const named = await this.#namedLoops();
    const table = await readFile(`/proc/${this.#pid}/mounts`, 'utf8');
    const places = table.split('\n').map((line) => line.split(' ')[1] ?? '');
    for (const place of places.reverse())
      if (place.startsWith(`${directory}/`)) await this.run('umount', '-l', place);
    for (const { path, backingFile } of await listLoops()) {
      const isOurs = backingFile === GONE_FILE || backingFile.startsWith(`${directory}/`);
      if (named.includes(path) && isOurs) await execa('losetup', ['-d', path], { reject: false });
    }
  }

  async #namedLoops(): Promise<string[]> {
    const names = this.path('/dev/hast');
    const found = (await readdir(names).catch(() => [])).map((name) => readlink(join(names, name)));
    return Promise.all(found);
  }

  async close(): Promise<void> {
    await this.crash();
    if (this.#init.exitCode === null && this.#init.signalCode === null) {
      this.#init.kill('SIGKILL');
      await once(this.#init, 'exit');
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** In its network namespace there are also probes of the test, with mounts of their own. */
  async #pids(): Promise<number[]> {
    const mounts = (pid: number | string): Promise<string> =>
      readlink(`/proc/${pid}/ns/mnt`).catch(() => 'gone');
    const own = await mounts(this.#pid);
    const { stdout } = await execa('ip', ['netns', 'pids', this.#netns], { reject: false });
    const found: number[] = [];
    for (const pid of stdout.split('\n').map(Number)) {
      if (pid > 1 && pid !== this.#pid && (await mounts(pid)) === own && !(await isZombie(pid)))
        found.push(pid);
    }
    return found;
  }
}

async function isZombie(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') X');
  return /\) [ZX]/.test(stat);
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}
