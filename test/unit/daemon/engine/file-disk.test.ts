import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  closeSync,
  constants,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDisk } from '../../../../src/daemon/engine/disk-lock.ts';
import { openFileDisk } from '../../../../src/daemon/engine/file-disk.ts';
import type { FileDisk } from '../../../../src/daemon/engine/file-disk.ts';
import { LatencyGauge } from '../../../../src/daemon/engine/latency-gauge.ts';
import type { IoResult } from '../../../../src/replication/ports.ts';
import { needs } from '../../../support/needs.ts';

const MIB = 1024 * 1024;
let directory: string;
let path: string;
const open: FileDisk[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hastate-disk-'));
  path = join(directory, 'disk.img');
  writeFileSync(path, '');
  truncateSync(path, 4 * MIB);
});
afterEach(async () => {
  for (const disk of open.splice(0)) await disk.close();
  rmSync(directory, { recursive: true });
});

async function openDisk(): Promise<FileDisk> {
  const disk = await openFileDisk(path, directory);
  open.push(disk);
  return disk;
}
const settled = (start: (done: (error: IoResult) => void) => void): Promise<IoResult> => new Promise(start);
const coded = (code: string, text: RegExp): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(text) as string });

describe('file disk', () => {
  it('has the size of the file and hastd’s sectors', async () => {
    expect(await openDisk()).toMatchObject({ sizeBytes: 4 * MIB, sectorBytes: 512 });
  });

  it.each([
    ['small, in this thread', 4096],
    ['large, in the pool', 512 * 1024],
  ])('gives back what was written: %s', async (_what, length) => {
    const disk = await openDisk();
    const data = Buffer.alloc(length, 'block');
    expect(await settled((done) => disk.write(8192, data, done))).toBeNull();
    const into = Buffer.alloc(length);
    expect(await settled((done) => disk.read(8192, into, done))).toBeNull();
    expect(into.equals(data)).toBe(true);
    expect(
      readFileSync(path)
        .subarray(8192, 8192 + length)
        .equals(data),
    ).toBe(true);
  });

  it.skipIf(needs('koffi') || process.platform !== 'linux')(
    'punches holes: the range reads as zeros, its space is given back, its neighbours stay',
    async () => {
      writeFileSync(path, Buffer.alloc(4 * MIB, 1));
      const disk = await openDisk();
      const before = statSync(path).blocks;
      expect(await settled((done) => disk.punch?.(MIB, MIB, done))).toBeNull();
      const content = readFileSync(path);
      expect(content.subarray(MIB, 2 * MIB).every((byte) => byte === 0)).toBe(true);
      expect([content[MIB - 1], content[2 * MIB], content.length]).toEqual([1, 1, 4 * MIB]);
      expect(statSync(path).blocks).toBeLessThanOrEqual(before - MIB / 512);
      expect(await settled((done) => disk.punch?.(4 * MIB, 512, done))).toBe('EINVAL');
    },
  );

  it('calls back at once for small requests on a fast disk, later for large ones', async () => {
    const disk = await openDisk();
    let small = false;
    disk.write(0, Buffer.alloc(512), () => (small = true));
    expect(small).toBe(true);
    let large = false;
    const done = settled((finish) =>
      disk.write(0, Buffer.alloc(256 * 1024), (error) => {
        large = true;
        finish(error);
      }),
    );
    expect(large).toBe(false);
    await done;
  });

  it('makes durable writes and flushes', async () => {
    const disk = await openDisk();
    expect(await settled((done) => disk.writeDurable(4096, Buffer.from('map'.padEnd(512)), done))).toBeNull();
    expect(await settled((done) => disk.flush(done))).toBeNull();
    expect(readFileSync(path).subarray(4096, 4099).toString()).toBe('map');
  });

  it('reports what lies outside the disk, what was cut off and what comes after close', async () => {
    const disk = await openDisk();
    expect(await settled((done) => disk.read(4 * MIB - 512, Buffer.alloc(1024), done))).toBe('EINVAL');
    expect(await settled((done) => disk.write(-512, Buffer.alloc(512), done))).toBe('EINVAL');
    truncateSync(path, MIB);
    expect(await settled((done) => disk.read(2 * MIB, Buffer.alloc(512), done))).toBe('EIO');
    expect(await settled((done) => disk.read(2 * MIB, Buffer.alloc(MIB), done))).toBe('EIO');
    await disk.close();
    expect(await settled((done) => disk.flush(done))).toBe('EBADF');
  });

  it('waits for what runs before it closes', async () => {
    const disk = await openDisk();
    const results: string[] = [];
    disk.write(0, Buffer.alloc(2 * MIB, 1), (error) => results.push(`write ${String(error)}`));
    await disk.close().then(() => results.push('closed'));
    expect(results).toEqual(['write null', 'closed']);
  });

  it('says what is wrong with a path, and what to do', async () => {
    await expect(openFileDisk(join(directory, 'no'), directory)).rejects.toEqual(
      coded('disk-missing', /does not exist: attach/),
    );
    await expect(openFileDisk(directory, directory)).rejects.toEqual(
      coded('disk-not-usable', /neither a regular/),
    );
    truncateSync(path, 4096 + 512);
    await expect(openFileDisk(path, directory)).rejects.toEqual(coded('disk-too-small', /at least 5120/));
  });
});

describe.skipIf(needs('@ronomon/direct-io', 'flock'))('the lock of a disk', () => {
  it('refuses a second daemon and names who holds it', async () => {
    const holder = spawn('flock', [path, '-c', 'echo held; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    await expect(openFileDisk(path, directory)).rejects.toEqual(
      coded('disk-busy', /held by .*another|pid \d+/),
    );
    holder.stdin.end('\n');
    await once(holder, 'exit');
    const disk = await openDisk();
    expect(disk.warning).toBeNull();
    await expect(openFileDisk(path, directory)).rejects.toEqual(
      coded('disk-busy', /hastd or another hastated/),
    );
    expect(() => execFileSync('flock', ['-n', path, 'true'])).toThrow();
    await disk.close();
    execFileSync('flock', ['-n', path, 'true']);
  });
});

describe('the lock file, without the native package', () => {
  const lockWithout = () => lockDisk(path, -1, directory, null);
  const lockFile = (): string => join(directory, 'locks', readdirSync(join(directory, 'locks'))[0] ?? '');

  it('keeps a second one out, says what it cannot do, and goes away', async () => {
    const lock = await lockWithout();
    expect(lock.warning).toMatch(/a plain hastd would not see it/);
    await expect(lockWithout()).rejects.toEqual(coded('disk-busy', /\(pid \d+\)|process \d+/));
    lock.release();
    (await lockWithout()).release();
  });

  it('takes over what a dead process left, and one whose number came again', async () => {
    for (const content of ['999999999 1 x\n', `${process.pid} 1 x\n`, 'garbage']) {
      (await lockWithout()).release();
      mkdirSync(join(directory, 'locks'), { recursive: true });
      const first = await lockWithout();
      const file = lockFile();
      first.release();
      writeFileSync(file, content);
      (await lockWithout()).release();
      expect(readdirSync(join(directory, 'locks'))).toEqual([]);
    }
  });
});

describe.skipIf(needs('root', 'losetup') || process.platform !== 'linux')('a block device', () => {
  it('has its own size and sectors, and is refused while it is in use', async (context) => {
    let device: string;
    try {
      device = execFileSync('losetup', ['--find', '--show', '--sector-size', '4096', path]).toString().trim();
    } catch {
      context.skip();
      return;
    }
    try {
      const disk = await openFileDisk(device, directory);
      try {
        expect(disk).toMatchObject({ sizeBytes: 4 * MIB, sectorBytes: 4096 });
        expect(await settled((done) => disk.writeDurable(4096, Buffer.alloc(4096, 7), done))).toBeNull();
        const { punch } = disk;
        if (punch !== undefined) {
          expect(await settled((done) => punch(4096, 4096, done))).toBeNull();
          const into = Buffer.alloc(4096, 9);
          expect(await settled((done) => disk.read(4096, into, done))).toBeNull();
          expect(into.every((byte) => byte === 0)).toBe(true);
        }
        await expect(openFileDisk(device, directory)).rejects.toEqual(coded('disk-busy', /in use|held/));
      } finally {
        await disk.close();
      }
      // As a mount does.
      const fd = openSync(device, constants.O_RDWR | constants.O_EXCL);
      await expect(openFileDisk(device, directory)).rejects.toEqual(coded('disk-busy', /mounted or in use/));
      closeSync(fd);
    } finally {
      execFileSync('losetup', ['--detach', device]);
    }
  });
});

describe('latency gauge', () => {
  it('is not put off by one slow answer, but by several, and tries again', async () => {
    const gauge = new LatencyGauge();
    gauge.sample(10_000, 4096);
    expect(gauge.isFast()).toBe(true);
    gauge.sample(10_000, 4096);
    gauge.sample(10_000, 4096);
    expect(gauge.isFast()).toBe(false);
    await expect.poll(() => gauge.isFast(), { timeout: 2000 }).toBe(true);
    expect(gauge.isFast()).toBe(false);
    for (let i = 0; i < 30; i++) gauge.sample(5, 4096);
    expect(gauge.isFast()).toBe(true);
  });
});
