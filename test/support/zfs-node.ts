/**
 * One node's ZFS: a `zfs-fuse` of its own in its own mount and UTS namespaces, with its own host name and host id.
 * What runs there by `enter` sees the disks of this machine and its own pools alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

/** The daemon's socket, locks and cache are where its commands look for them; the host id goes into the labels of disks. */
const PREPARE = `set -e
hostname "$1"
mount -t tmpfs none "$2" && cp -a /etc "$2/etc" && mount --bind "$2/etc" /etc
printf "$3" >/etc/hostid
mount -t tmpfs none /var/lib/zfs
mount -t tmpfs none /run && mkdir -p /run/zfs /run/lock/zfs
exec zfs-fuse -n --no-kstat-mount -m 64
`;
const ANSWER_MS = 10_000;
const STARTS = 3;

export class ZfsNode {
  readonly name: string;
  /** Words before a command that is to run on this node. */
  readonly enter: readonly string[];
  readonly #daemon: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #directory: string;

  private constructor(name: string, daemon: ChildProcess, directory: string) {
    this.name = name;
    this.#daemon = daemon;
    this.#directory = directory;
    this.#exited = new Promise((resolve) => daemon.once('exit', resolve));
    this.enter = ['nsenter', '-m', '-u', '-t', String(daemon.pid), '--'];
  }

  /** @param hostId 1..9, different for each node. Now and then such a daemon dies silently: it is started again. */
  static async start(name: string, hostId: number): Promise<ZfsNode> {
    for (let tries = 1; ; tries++) {
      const directory = await mkdtemp(join(tmpdir(), 'hastate-zfs-'));
      const args = ['-m', '-u', '--propagation', 'private', '/bin/sh', '-c', PREPARE, 'sh'];
      const id = `\\00${hostId}\\002\\003\\004`;
      const daemon = spawn('unshare', [...args, name, directory, id], {
        stdio: 'ignore',
      });
      const node = new ZfsNode(name, daemon, directory);
      if (await node.#answers()) return node;
      await node.crash();
      if (tries === STARTS) throw new Error(`zfs-fuse of ${name} did not start`);
    }
  }

  async #answers(): Promise<boolean> {
    const deadline = performance.now() + ANSWER_MS;
    while (
      performance.now() < deadline &&
      this.#daemon.exitCode === null &&
      this.#daemon.signalCode === null
    ) {
      if ((await this.run('zpool', 'list')).exitCode === 0) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }

  /** Runs a command on this node to its end, however it ends. */
  run(...command: readonly string[]) {
    const [program = '', ...args] = [...this.enter, ...command];
    return execa(program, args, { reject: false, timeout: 30_000, all: true });
  }

  /** The node is gone at once, with everything that it had mounted; nothing is exported. */
  async crash(): Promise<void> {
    this.#daemon.kill('SIGKILL');
    await this.#exited;
    await rm(this.#directory, { recursive: true, force: true });
  }
}
