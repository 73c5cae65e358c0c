import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { directIo } from '../../../../src/daemon/engine/direct-io.ts';
import { loadLibC } from '../../../../src/daemon/engine/native.ts';
import { needs } from '../../../support/needs.ts';

const LENGTH = 12_288;
let directory: string;
let path: string;
let fd: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hastate-direct-'));
  path = join(directory, 'disk.img');
  writeFileSync(path, Buffer.alloc(LENGTH, 'content'));
  fd = openSync(path, 'r+');
});
afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

/** The C library, but each call moves half of what it is asked for. */
const halves = {
  pread: (at: number, into: Buffer, bytes: number, position: number): number =>
    loadLibC()?.pread?.(at, into, bytes >> 1, position) ?? -1,
  pwrite: (at: number, data: Buffer, bytes: number, position: number): number =>
    loadLibC()?.pwrite?.(at, data, bytes >> 1, position) ?? -1,
};

describe.each([
  ['by functions of Node', false, () => directIo(null)],
  ['through koffi', true, () => directIo()],
  ['through koffi, which moves less than all', true, () => directIo(halves)],
] as const)('requests that are waited for, %s', (_how, native, make) => {
  const missing = native && needs('koffi');

  it.skipIf(missing)('move all of the buffer at the position, and nothing beside it', () => {
    const data = Buffer.alloc(4096, 'other');
    const around = Buffer.alloc(4096 + 200, 9);
    const before = readFileSync(path);
    expect(make().write(fd, 4096, data)).toBeNull();
    expect(make().read(fd, 4096, around.subarray(100, 4196))).toBeNull();
    expect(around.subarray(100, 4196).equals(data)).toBe(true);
    expect([...around.subarray(0, 100), ...around.subarray(4196)].every((byte) => byte === 9)).toBe(true);
    data.copy(before, 4096);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it.skipIf(missing)(
    'say what was wrong: behind the end, a descriptor that is closed, one that cannot',
    () => {
      expect(make().read(fd, LENGTH - 512, Buffer.alloc(1024))).toBe('EIO');
      const closed = openSync(path, 'r');
      expect(make().write(closed, 0, Buffer.alloc(512))).toBe('EBADF');
      closeSync(closed);
      expect(make().read(closed, 0, Buffer.alloc(512))).toBe('EBADF');
    },
  );

  it.skipIf(missing)('reach positions behind 4 GiB', () => {
    const far = 5 * 1024 ** 3 + 512;
    expect(make().write(fd, far, Buffer.alloc(512, 'far'))).toBeNull();
    const into = Buffer.alloc(512);
    expect(make().read(fd, far, into)).toBeNull();
    expect(into.equals(Buffer.alloc(512, 'far'))).toBe(true);
    expect(make().read(fd, 1024 ** 3, into)).toBeNull();
    expect(into.every((byte) => byte === 0)).toBe(true);
  });
});
