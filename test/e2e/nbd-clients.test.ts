/** Other people's NBD clients against the export of a real pair: what they wrote is on both disks. */
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';

import { NODES, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { differences, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

const MIB = 1024 * 1024;
const DISK_MIB = 24;

describe.skipIf(needs('nbdinfo', 'nbdcopy', 'qemu-io'))('the export of a pair', () => {
  let lab: Lab;

  afterEach(() => lab.close());

  async function pair(): Promise<{ hasta: LabDaemon; uri: string; size: number }> {
    lab = await Lab.make({ diskMiB: DISK_MIB });
    const { hasta, hastb } = await lab.startPair();
    await untilPaired({ primary: hasta, standby: hastb });
    const { export: offered, datasize } = resourceOf(await hasta.status(), 'disk1');
    return { hasta, uri: `nbd+unix:///disk1?socket=${offered?.socket ?? ''}`, size: datasize };
  }

  async function expectBothEqual(): Promise<void> {
    const [one = '', other = ''] = NODES.map((node) => lab.places[node].disk('disk1'));
    await eventually('both disks equal', async () => (await differences(one, other)).length === 0);
  }

  it('is copied in by four connections and out again without a changed byte', async () => {
    const { uri, size } = await pair();
    const [source, copy] = [join(lab.directory, 'source'), join(lab.directory, 'copy')];
    const file = await open(source, 'w');
    // Data, holes, and zeros that are data.
    await file.truncate(size);
    for (const at of [0, 5, 12, 20]) await file.write(randomBytes(MIB), 0, MIB, at * MIB);
    await file.write(Buffer.alloc(MIB), 0, MIB, 6 * MIB);
    await file.close();

    await execa('nbdcopy', ['--flush', '--connections=4', source, uri]);
    await execa('nbdcopy', ['--connections=4', uri, copy]);

    expect((await readFile(copy)).equals(await readFile(source))).toBe(true);
    await expectBothEqual();
  });

  it('tells what it can, and its one name', async () => {
    const { uri, size } = await pair();
    const info = JSON.parse((await execa('nbdinfo', ['--json', uri])).stdout) as { exports: object[] };
    expect(info.exports[0]).toMatchObject({
      'export-size': size,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_zero: true,
      can_fast_zero: true,
      block_size_minimum: 512,
    });
    const list = JSON.parse((await execa('nbdinfo', ['--list', '--json', uri])).stdout) as {
      exports: object[];
    };
    expect(list.exports).toMatchObject([{ 'export-name': 'disk1' }]);
  });

  it('is zeroed, discarded and flushed by qemu, the same on both disks', async () => {
    const { uri } = await pair();
    const commands = [
      'write -P 0x77 0 20M',
      'write -z 64k 1M',
      'write -z -u 4M 8M',
      'discard 14M 2M',
      'write -z -f 1M 4k',
      'flush',
      'read -P 0x77 0 64k',
      'read -P 0 64k 1M',
      'read -P 0 4M 8M',
      'read -P 0x77 12M 2M',
    ].flatMap((command) => ['-c', command]);
    const run = await execa('qemu-io', ['-t', 'writeback', '-f', 'raw', ...commands, uri], { all: true });
    expect(run.all).not.toMatch(/failed|error/i);
    await expectBothEqual();
  });
});
