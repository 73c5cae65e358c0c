/**
 * A secondary whose engine stands still inside a system call of its disk: its file system is frozen, so that the call
 * neither returns nor can be ended. Its node is heard all the time, and gives its primary the word that it needs (A3).
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { runCommand } from '../../src/device/run-command.ts';
import { resourceOf } from '../support/daemon.ts';
import { journalOf } from '../support/failover.ts';
import { Lab, makeDisk } from '../support/lab.ts';
import { needs } from '../support/needs.ts';

const BLOCK = 4096;
const block = (byte: number): Buffer => Buffer.alloc(BLOCK, byte);
const run = (...command: string[]) => runCommand(command, { timeoutMs: 10_000 });

/** A file system of its own in a file. */
class FreezableDirectory {
  readonly path: string;
  readonly #directory: string;

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
  }

  async thaw(): Promise<void> {
    await run('fsfreeze', '-u', this.path);
  }

  async close(): Promise<void> {
    await run('umount', this.path);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

describe.skipIf(needs('root', 'fsfreeze', 'mkfs.ext4', 'mount'))('a secondary whose engine hangs', () => {
  const undo: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const action of undo.splice(0).reverse()) await action();
  });

  it('inside its disk is recorded as outdated, the primary goes on, and it is resynced when the disk answers', async () => {
    const place = await FreezableDirectory.make();
    undo.push(() => place.close());
    const lab = await Lab.make({ create: false });
    undo.push(() => lab.close());
    const disk = join(place.path, 'disk');
    await makeDisk(lab.places.hasta.disk('disk1'), 8);
    await makeDisk(disk, 8);
    await lab.edit(lab.hastConf, (text) => text.replace(lab.places.hastb.disk('disk1'), disk));
    for (const node of ['hasta', 'hastb'] as const)
      expect((await lab.hastate(node, 'create', 'disk1')).code).toBe(0);
    const { hasta, hastb } = await lab.startPair();
    const offered = resourceOf(await hasta.status(), 'disk1').export;
    const nbd = await connectNbd({ socketPath: offered?.socket ?? '', exportName: offered?.name ?? '' });
    // A disk that was quick is written to by the engine's own thread.
    for (let n = 0; n < 200; n++) await nbd.write((n % 8) * BLOCK, block(1));

    await place.freeze();
    const frozen = { yes: true };
    const thaw = async (): Promise<void> => {
      if (frozen.yes) await place.thaw();
      frozen.yes = false;
    };
    undo.push(thaw);
    await nbd.write(0, block(2));
    expect(resourceOf(await hasta.status(), 'disk1').record?.inSync).toEqual(['hasta']);
    const told = (await journalOf(hastb)).map(({ kind }) => kind);
    expect(told).toEqual(expect.arrayContaining(['engine.stalled', 'engine.died', 'peer.outdated']));
    expect(resourceOf(await hastb.status(), 'disk1').freshness.kind).not.toBe('inSync');

    await thaw();
    await hastb.until('in sync again', (status) => resourceOf(status, 'disk1').freshness.kind === 'inSync');
    await nbd.disconnect();
  });
});
