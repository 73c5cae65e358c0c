/** Other people's NBD clients against our server. */
import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { MemoryDevice } from '../unit/device/memory-device.ts';
import { content, serve, temporaryDirectory, type Served } from '../unit/device/nbd-fixture.ts';

const MIB = 1024 * 1024;

const uri = (served: Served, name = 'disk1'): string =>
  `nbd+unix:///${encodeURIComponent(name)}?socket=${served.socketPath}`;

describe.skipIf(needs('nbdinfo', 'nbdcopy'))('libnbd', () => {
  it('is told what the export can, and no more', async () => {
    const served = await serve(new MemoryDevice(24 * MIB, { sectorBytes: 4096 }));
    const { stdout } = await execa('nbdinfo', ['--json', uri(served, 'disk1@7-00000000000000aa')]);
    const info = JSON.parse(stdout) as { exports: Record<string, unknown>[] };
    expect(info.exports[0]).toMatchObject({
      'export-size': 24 * MIB,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      can_fast_zero: true,
      can_cache: false,
      can_df: true,
      description: 'hastate resource disk1, primary in epoch 7',
      is_read_only: false,
      block_size_minimum: 4096,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MIB,
    });
  });

  it('is told where there are holes, in as many answers as it takes', async () => {
    const device = new MemoryDevice(8 * MIB).tellHoles();
    for (let at = 0; at < 2 * MIB; at += 8192) device.content.fill(1, at, at + 4096);
    const { stdout } = await execa('nbdinfo', ['--map', '--json', uri(await serve(device))]);
    const map = JSON.parse(stdout) as { offset: number; length: number; type: number }[];
    expect(map).toHaveLength(512);
    expect(map.slice(0, 2)).toMatchObject([
      { offset: 0, length: 4096, type: 0 },
      { offset: 4096, length: 4096, type: 3 },
    ]);
    expect(map.at(-1)).toMatchObject({ offset: 2 * MIB - 4096, length: 6 * MIB + 4096, type: 3 });
  });

  it('reads no hole that it was told of', async () => {
    const device = new MemoryDevice(32 * MIB).tellHoles();
    const data = content(MIB);
    data.copy(device.content, 8 * MIB);
    const copy = join(await temporaryDirectory(), 'copy');
    await execa('nbdcopy', [uri(await serve(device)), copy]);
    expect((await readFile(copy)).equals(device.content)).toBe(true);
    const read = device.requests.filter((each) => each.startsWith('read'));
    expect(read.reduce((sum, each) => sum + Number(each.split(' ')[2]), 0)).toBe(MIB);
  });

  it('is not offered TRIM where no space would be given back', async () => {
    const device = new MemoryDevice(MIB);
    device.discards = false;
    const { stdout } = await execa('nbdinfo', ['--json', uri(await serve(device))]);
    const info = JSON.parse(stdout) as { exports: Record<string, unknown>[] };
    expect(info.exports[0]).toMatchObject({ can_trim: false, can_zero: true });
  });

  it('lists the one export with words about it', async () => {
    const served = await serve(new MemoryDevice(MIB));
    const { stdout } = await execa('nbdinfo', ['--list', '--json', uri(served, '')]);
    const info = JSON.parse(stdout) as { exports: Record<string, unknown>[] };
    expect(info.exports).toMatchObject([
      { 'export-name': 'disk1', description: 'hastate resource disk1, primary in epoch 7' },
    ]);
  });

  it('is refused the export of another epoch', async () => {
    const served = await serve(new MemoryDevice(MIB));
    const run = await execa('nbdinfo', [uri(served, 'disk1@6-00000000000000aa')], { reject: false });
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toContain('disk1@6-00000000000000aa');
  });

  it('copies a disk in and out again without a changed byte', async () => {
    const device = new MemoryDevice(32 * MIB, { maxRequestBytes: 128 * 1024 });
    device.later = true;
    const served = await serve(device);
    const directory = await temporaryDirectory();
    const [source, copy] = [join(directory, 'source'), join(directory, 'copy')];
    const data = content(32 * MIB);
    await writeFile(source, data);

    await execa('nbdcopy', ['--flush', '--connections=4', '--request-size=1048576', source, uri(served)]);
    expect(device.content.equals(data)).toBe(true);
    expect(device.requests.at(-1)).toBe('flush');

    await execa('nbdcopy', [uri(served), copy]);
    expect((await readFile(copy)).equals(data)).toBe(true);
  });
});

describe.skipIf(needs('qemu-io'))('qemu', () => {
  const qemuIo = async (served: Served, ...commands: string[]) => {
    const arguments_ = commands.flatMap((command) => ['-c', command]);
    const run = await execa('qemu-io', ['-t', 'writeback', '-f', 'raw', ...arguments_, uri(served)], {
      reject: false,
      all: true,
    });
    return run.all;
  };

  it('writes, forces, flushes and verifies patterns', async () => {
    const device = new MemoryDevice(8 * MIB);
    const served = await serve(device);
    const output = await qemuIo(
      served,
      'write -P 0x5a 4096 1M',
      'write -f -P 0xa5 0 512',
      'flush',
      'read -P 0x5a 4096 1M',
      'read -P 0xa5 0 512',
      'read -P 0 512 512',
    );
    expect(output).not.toMatch(/failed|error/i);
    expect(device.requests).toContain('write 0 512 fua');
    expect(device.content[4096 + MIB - 1]).toBe(0x5a);
  });

  it('zeroes, discards and flushes', async () => {
    const device = new MemoryDevice(8 * MIB);
    device.content.fill(0x77);
    const served = await serve(device);
    const output = await qemuIo(
      served,
      'write -z 0 64k',
      'write -z -u 1M 1M',
      'write -z -f 4M 4k',
      'discard 5M 1M',
      'flush',
      'read -P 0 0 64k',
      'read -P 0 1M 1M',
      'read -P 0 4M 4k',
      'read -P 0x77 64k 4k',
    );
    expect(output).not.toMatch(/failed|error/i);
    expect(device.requests).toEqual(
      expect.arrayContaining([
        'zero 0 65536 no-hole',
        `zero ${MIB} ${MIB}`,
        `zero ${4 * MIB} 4096 fua no-hole`,
        `discard ${5 * MIB} ${MIB}`,
      ]),
    );
  });

  it.skipIf(needs('qemu-img'))('maps data and holes', async () => {
    const device = new MemoryDevice(8 * MIB).tellHoles();
    device.content.fill(1, MIB, 2 * MIB);
    const words = ['map', '--output=json', '-f', 'raw', uri(await serve(device))];
    const map = JSON.parse((await execa('qemu-img', words)).stdout) as object[];
    expect(map).toMatchObject([
      { start: 0, length: MIB, zero: true, data: false },
      { start: MIB, length: MIB, zero: false, data: true },
      { start: 2 * MIB, length: 6 * MIB, zero: true, data: false },
    ]);
  });

  it('notices a pattern that is not there', async () => {
    const served = await serve(new MemoryDevice(8 * MIB));
    expect(await qemuIo(served, 'read -P 0x11 0 512')).toMatch(/Pattern verification failed/);
  });
});
