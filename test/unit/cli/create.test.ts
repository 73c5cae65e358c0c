import { open, readFile, rm, truncate } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeMetadataBlock, encodeMetadataBlock } from '../../../src/protocol/hast-metadata.ts';
import type { HastMetadata } from '../../../src/protocol/hast-metadata.ts';
import { openLocal, lockLocal } from '../../../src/cli/local-component.ts';
import { Scene } from './support.ts';

const vectors = fileURLToPath(new URL('../../vectors/hast/', import.meta.url));
const MiB = 1024 * 1024;

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
  await disk('test', 64 * MiB);
});
afterEach(() => scene.close());

/** A sparse file full of what create has to overwrite: its first bytes are not zero. */
async function disk(name: string, bytes: number): Promise<void> {
  await scene.write(name, Buffer.alloc(64 * 1024, 0xff));
  await truncate(scene.path(name), bytes);
}

async function metadata(name = 'test'): Promise<HastMetadata> {
  return decodeMetadataBlock(await readFile(scene.path(name)), null).meta;
}

async function used(changes: Partial<HastMetadata>): Promise<void> {
  const created = { ...(await metadata()), ...changes };
  const file = await open(scene.path('test'), 'r+');
  await file.write(encodeMetadataBlock(created, null), 0, 4096, 0);
  await file.close();
}

describe('create', () => {
  it.each<[bytes: number, args: string[], file: string]>([
    [64 * MiB, [], '01_fresh_64M_default'],
    [1024 * MiB, ['-e', '4096', '-k', '8'], '20_1G_e4096_k8'],
    [1024 * MiB, [], '21_1G_default'],
    [20 * 1024 * MiB, [], '23_20G_default'],
    [2048 * MiB, ['-m', '1G'], '21_1G_default'],
    [64 * MiB, ['-e', '0', '-k', '0', '-m', '0'], '01_fresh_64M_default'],
  ])('lays out %i bytes %j as hastctl did in %s', async (bytes, args, file) => {
    await disk('test', bytes);
    await expect(scene.run('create', ...args, 'test')).resolves.toEqual({ code: 0, out: '', err: '' });
    const real = await readFile(`${vectors}metadata/${file}.bin`);
    const expected = decodeMetadataBlock(real, null).meta;
    const ours = await open(scene.path('test'), 'r');
    const head = Buffer.alloc(real.length + 1);
    await ours.read(head, 0, head.length, 0);
    await ours.close();
    const { meta, own } = decodeMetadataBlock(head, null);
    expect(meta).toEqual({ ...expected, resource: 'test' });
    expect(own?.record.state).toBe('virgin');
    expect(head.subarray(4096, -1)).toEqual(real.subarray(4096));
    expect(head.at(-1)).toBe(0xff);
  });

  it.each([
    ['4k', 64 * MiB, 8192],
    ['64K', 64 * MiB, 65536],
    ['512', 64 * MiB, 4608],
  ])('starts the data at a multiple of %s, and takes that off its size', async (align, bytes, offset) => {
    await expect(scene.run('create', '--align', align, 'test')).resolves.toEqual({
      code: 0,
      out: '',
      err: '',
    });
    const head = await readFile(scene.path('test'));
    const { meta } = decodeMetadataBlock(head, null);
    expect(meta).toMatchObject({ offset, datasize: bytes - offset, extentsize: 2 * MiB });
    expect(head.subarray(4096, offset).every((byte) => byte === 0)).toBe(true);
    expect(head[offset]).toBe(offset < 65536 ? 0xff : 0);
  });

  it.each(['3k', '256', '2M'])('refuses an alignment of %s', async (align) => {
    const { code, err } = await scene.run('create', '--align', align, 'test');
    expect(code).toBe(65);
    expect(err).toContain('is no power of 2 from the sector size (512) to 1048576; use e.g. 4k.');
  });

  it('is run again on a virgin disk without a word, and prints what it wrote with --json', async () => {
    await scene.run('create', 'test');
    const { code, out } = await scene.run('--json', 'create', 'test');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ resource: 'test', datasize: 67_104_256, resuid: '0' });
  });

  it.each<[what: string, changes: Partial<HastMetadata>]>([
    ['was connected', { resuid: 5n }],
    ['was primary alone', { prevrole: 'primary' }],
  ])('asks for --force when the disk %s', async (_what, changes) => {
    await scene.run('create', 'test');
    await used(changes);
    const refused = await scene.run('create', 'test');
    expect(refused).toMatchObject({
      code: 65,
      err: expect.stringContaining('--force makes it virgin') as string,
    });
    expect(await metadata()).toMatchObject(changes);
    await expect(scene.run('create', '--force', 'test')).resolves.toMatchObject({ code: 0, err: '' });
    expect(await metadata()).toMatchObject({ resuid: 0n, prevrole: 'init' });
  });

  it('never overwrites another resource, and says how to if it must be', async () => {
    await scene.run('create', 'test');
    await used({ resource: 'theirs' });
    const { code, err } = await scene.run('create', '--force', 'test');
    expect(code).toBe(65);
    expect(err).toContain(`${scene.path('test')} belongs to resource theirs`);
    expect(err).toContain('dd if=/dev/zero');
    expect((await metadata()).resource).toBe('theirs');
  });

  it('refuses a disk that a daemon has locked', async () => {
    const component = await openLocal(scene.path('test'), 'r+');
    try {
      expect(await lockLocal(scene.path('test'), component)).toBe(true);
      const { code, err } = await scene.run('create', 'test');
      expect(code).toBe(66);
      expect(err).toContain('is in use by a daemon');
    } finally {
      await component.file.close();
    }
    await expect(scene.run('create', 'test')).resolves.toMatchObject({ code: 0 });
  });

  it.each<[args: string[], code: number, err: string]>([
    [['-e', '100', 'test'], 65, '[ERROR] [test] Extent size (100) is less than sector size (512).\n'],
    [['-e', '1000', 'test'], 65, 'Extent size (1000) is not multiple of sector size (512).'],
    [['-e', '1536', 'test'], 65, 'not power of 2'],
    [['-e', '4G', 'test'], 65, '32 bits'],
    [['-k', '4G', 'test'], 65, 'Keepdirty (4294967296) is larger than'],
    [['-m', '1G', 'test'], 65, '[ERROR] [test] Provided mediasize is larger than provider '],
    [['-m', '1000001', 'test'], 65, 'use -m 999936'],
    [['-m', '4k', 'test'], 65, 'too small'],
    [['nosuch'], 65, '[ERROR] Unknown resource nosuch.\n'],
    [['other'], 66, 'No such file or directory.\n'],
    [['nosuch', 'other', 'test'], 65, '[ERROR] [other] Unable to open '],
  ])('refuses %j with %i', async (args, code, err) => {
    const ran = await scene.run('create', ...args);
    expect(ran.code).toBe(code);
    expect(ran.err).toContain(err);
  });

  it('refuses what is neither disk nor file', async () => {
    await rm(scene.path('test'));
    const { mkdir } = await import('node:fs/promises');
    await mkdir(scene.path('test'));
    await expect(scene.run('create', 'test')).resolves.toMatchObject({ code: 66 });
  });
});

describe('dump', () => {
  it('changes nothing, and does not mind a daemon that has the disk', async () => {
    await scene.run('create', 'test');
    const before = await readFile(scene.path('test'));
    const component = await openLocal(scene.path('test'), 'r+');
    try {
      await lockLocal(scene.path('test'), component);
      await expect(scene.run('dump', 'test')).resolves.toMatchObject({ code: 0, err: '' });
    } finally {
      await component.file.close();
    }
    expect((await readFile(scene.path('test'))).equals(before)).toBe(true);
  });

  it('does not print the metadata of another resource', async () => {
    await scene.run('create', 'test');
    await used({ resource: 'theirs' });
    await expect(scene.run('dump', 'test')).resolves.toEqual({
      code: 255,
      out: '',
      err: `[ERROR] Provider ${scene.path('test')} is not part of resource test.\n`,
    });
  });

  it.each<[file: string, text: string]>([
    ['01_fresh_64M_default', 'hastctl/dump_fresh.txt'],
    ['20_1G_e4096_k8', 'metadata/20_1G_e4096_k8.dump.txt'],
    ['23_20G_default', 'metadata/23_20G_default.dump.txt'],
  ])('prints %s as hastctl does', async (file, text) => {
    await scene.write('test', await readFile(`${vectors}metadata/${file}.bin`));
    const expected = await readFile(`${vectors}${text}`, 'utf8');
    await expect(scene.run('dump', 'test')).resolves.toEqual({ code: 0, out: expected, err: '' });
  });

  it('prints the record of a disk of ours with --json', async () => {
    await scene.run('create', 'test');
    const { out } = await scene.run('dump', '--json', 'test');
    expect(JSON.parse(out)).toMatchObject([{ resource: 'test', resuid: '0', record: { state: 'virgin' } }]);
  });

  it('exits as hastctl does for unknown names and unreadable disks', async () => {
    await expect(scene.run('dump', 'nosuch')).resolves.toMatchObject({ code: 65 });
    await expect(scene.run('dump', 'other')).resolves.toMatchObject({ code: 255 });
    const garbage = await scene.run('dump', 'test');
    expect(garbage).toMatchObject({ code: 255, out: '' });
    expect(garbage.err).toContain('was "hastate create" run?');
  });
});
