import {
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  openSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFileDisk } from '../../../../src/daemon/engine/file-disk.ts';
import type { FileDisk } from '../../../../src/daemon/engine/file-disk.ts';
import { findHoles, holeSeeker, type Seek } from '../../../../src/daemon/engine/find-holes.ts';
import type { LibC } from '../../../../src/daemon/engine/native.ts';
import type { Allocation } from '../../../../src/model/block-device.ts';
import { needs } from '../../../support/needs.ts';

const MIB = 1024 * 1024;
const { EBADF, EINVAL, EIO, ENXIO } = constants.errno;

/** Lengths, those of holes below zero; or an error. */
type Told = readonly number[] | string;

function told(
  ask: (done: (error: string | null, pieces: readonly Allocation[]) => void) => void,
): Promise<Told> {
  return new Promise((resolve) =>
    ask((error, pieces) => resolve(error ?? pieces.map(({ length, hole }) => (hole ? -length : length)))),
  );
}

/** A file of `size` with data in these ranges, as lseek(2) tells of it, and how often it was asked. */
function sparse(
  size: number,
  data: readonly (readonly [number, number])[],
): { seek: Seek; seeks: () => number } {
  let seeks = 0;
  const seek: Seek = (offset, whence, done) => {
    seeks += 1;
    const inside = data.find(([from, to]) => offset >= from && offset < to);
    const next = data.find(([from]) => from >= offset);
    if (whence === 2) done(size, 0);
    else if (offset >= size) done(-1, ENXIO);
    else if (whence === 4) done(inside?.[1] ?? offset, 0);
    else if (inside !== undefined) done(offset, 0);
    else if (next !== undefined) done(next[0], 0);
    else done(-1, ENXIO);
  };
  return { seek, seeks: () => seeks };
}

const find = (seek: Seek, offset: number, length: number, most = 128, sectorBytes = 512): Promise<Told> =>
  told((done) => findHoles(seek, { offset, length, sectorBytes }, most, done));

describe('the holes of a file', () => {
  it.each<[string, [number, number][], number, number, Told]>([
    ['nothing but a hole', [], 512, 4096, [-4096]],
    ['nothing but data', [[0, 65536]], 512, 4096, [4096]],
    [
      'data, a hole, data',
      [
        [0, 4096],
        [8192, 65536],
      ],
      1024,
      16384,
      [3072, -4096, 9216],
    ],
    ['a hole, data, a hole', [[8192, 12288]], 4608, 16384, [-3584, 4096, -8704]],
    ['data behind the range', [[32768, 36864]], 0, 32768, [-32768]],
  ])('are told of %s', async (_name, data, offset, length, expected) => {
    expect(await find(sparse(65536, data).seek, offset, length)).toEqual(expected);
  });

  it('are whole sectors: what is partly data is data', async () => {
    const { seek } = sparse(65536, [
      [5000, 5001],
      [12288, 12800],
    ]);
    expect(await find(seek, 0, 32768, 128, 4096)).toEqual([-4096, 4096, -4096, 4096, -16384]);
  });

  it('are so many at most, with two seeks for each', async () => {
    const islands = Array.from({ length: 1000 }, (_, index) => [index * 8192, index * 8192 + 4096] as const);
    for (const most of [1, 2, 128]) {
      const { seek, seeks } = sparse(1000 * 8192, islands);
      expect(await find(seek, 0, 1000 * 8192, most)).toHaveLength(most);
      expect(seeks()).toBeLessThanOrEqual(2 * most + 1);
    }
  });

  it('are looked for no longer where none is as long as a sector', async () => {
    const islands = Array.from({ length: 1000 }, (_, index) => [index * 1024, index * 1024 + 512] as const);
    const { seek, seeks } = sparse(1000 * 1024, islands);
    expect(await find(seek, 0, 512 * 1024, 4, 4096)).toHaveLength(1);
    expect(seeks()).toBeLessThanOrEqual(9);
  });

  it('are never what cannot be read, nor what was cut off', async () => {
    const good = sparse(65536, [[0, 4096]]);
    const broken: Seek = (offset, whence, done) =>
      good.seek(offset, whence, (position, errno) => done(position, errno === ENXIO ? EIO : errno));
    expect(await find(broken, 4096, 4096)).toBe('EIO');
    const cut: Seek = (offset, whence, done) =>
      whence === 2 ? done(6144, 0) : good.seek(offset, whence, done);
    expect(await find(cut, 4096, 4096)).toBe('EIO');
    expect(await find(cut, 4096, 2048)).toEqual([-2048]);
  });

  it('are not asked for where a failure has no reason, or the disk does not know', async () => {
    const answers = [
      [0, 0],
      [EBADF, EINVAL],
      [EBADF, EBADF],
      [EBADF, ENXIO],
    ].map((errnos) => {
      const lseek: LibC['lseek'] = (_fd, _offset, _whence, done) => done(-1, errnos.shift() ?? 0);
      return holeSeeker(3, 4096, { lseek });
    });
    expect((await Promise.all(answers)).map((seek) => seek !== null)).toEqual([false, false, false, true]);
    expect(await holeSeeker(3, 4096, null)).toBeNull();
  });
});

describe.skipIf(needs('koffi') || process.platform !== 'linux')('a sparse file as a disk', () => {
  let directory: string;
  let disk: FileDisk;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hastate-holes-'));
    const path = join(directory, 'disk.img');
    writeFileSync(path, '');
    truncateSync(path, 64 * MIB);
    const fd = openSync(path, 'r+');
    for (const at of [0, 8 * MIB, 33 * MIB]) writeSync(fd, Buffer.alloc(MIB, 1), 0, MIB, at);
    closeSync(fd);
    disk = await openFileDisk(path, directory);
  });
  afterEach(async () => {
    await disk.close();
    rmSync(directory, { recursive: true });
  });

  const holes = (offset: number, length: number, most = 128): Promise<Told> =>
    told((done) => disk.holes?.(offset, length, most, done));

  it('tells its holes, and at once what is written and punched', async () => {
    const M = MIB;
    expect(await holes(0, 64 * M)).toEqual([M, -7 * M, M, -24 * M, M, -30 * M]);
    expect(await holes(4608, 64 * M - 4608, 1)).toEqual([M - 4608]);
    await new Promise((resolve) => disk.write(16 * M, Buffer.alloc(65536), resolve));
    expect(await holes(9 * M, 24 * M)).toEqual([-7 * M, 65536, -(17 * M - 65536)]);
    await new Promise((resolve) => disk.punch?.(8 * M, M, resolve));
    expect(await holes(M, 15 * M)).toEqual([-15 * M]);
  });

  it('answers many questions, in their order, and none after it was closed', async () => {
    const order: number[] = [];
    await Promise.all(Array.from({ length: 50 }, (_, n) => holes(0, 64 * MIB).then(() => order.push(n))));
    expect(order).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(await holes(64 * MIB, 512)).toBe('EINVAL');
    await disk.close();
    expect(await holes(0, 512)).toBe('EBADF');
    expect(statSync(join(directory, 'disk.img')).size).toBe(64 * MIB);
  });
});
