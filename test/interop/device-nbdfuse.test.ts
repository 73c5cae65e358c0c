/** Real file systems on real loop devices over nbdfuse: attach, use, detach, and everything that goes wrong between. */
import { execa } from 'execa';
import { mkdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { DeviceDriver } from '../../src/device/attach.ts';
import { performCleanup } from '../../src/device/cleanup.ts';
import { listLoops, listMounts } from '../../src/device/mounts.ts';
import { epochExportName } from '../../src/device/nbd-handshake.ts';
import { nbdfuseLoopDriver } from '../../src/device/nbdfuse-loop.ts';
import { isAlive } from '../support/device-lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';
import { MemoryDevice } from '../unit/device/memory-device.ts';
import { EPOCH, serve, temporaryDirectory } from '../unit/device/nbd-fixture.ts';
import { buildProgram, start, type Program } from '../unit/keeper/program.ts';

const MIB = 1024 * 1024;
const EXPORT = epochExportName('disk1', EPOCH);

interface Bench {
  readonly stateDir: string;
  readonly driver: DeviceDriver;
  readonly mountPoint: string;
}

/** A driver and a mount point; whatever the test leaves is gone when it has finished. */
async function bench(): Promise<Bench> {
  const stateDir = await temporaryDirectory();
  const driver = nbdfuseLoopDriver({ stateDir, deviceDir: join(stateDir, 'dev'), unmountTimeoutMs: 1500 });
  const mountPoint = join(stateDir, 'mounted');
  await mkdir(mountPoint);
  // Runs before the directory goes: the last registered is the first called.
  onTestFinished(async () => {
    await driver.detach('disk1', AbortSignal.timeout(15_000));
  });
  return { stateDir, driver, mountPoint };
}

const attach = (driver: DeviceDriver, socketPath: string, exportName = EXPORT) =>
  driver.attach({ resource: 'disk1', socketPath, exportName }, AbortSignal.timeout(15_000));

const detach = (driver: DeviceDriver) => driver.detach('disk1', AbortSignal.timeout(25_000));

async function expectNothingLeft({ driver, stateDir }: Bench): Promise<void> {
  expect(await driver.leftovers()).toEqual([]);
  expect((await listMounts()).filter((mount) => mount.path.startsWith(stateDir))).toEqual([]);
  expect((await listLoops()).filter((loop) => loop.backingFile.startsWith(stateDir))).toEqual([]);
}

async function makeFileSystem(path: string | null, mountPoint: string): Promise<string> {
  const device = path ?? '';
  await execa('mkfs.ext4', ['-q', '-E', 'nodiscard,lazy_itable_init=0', device]);
  await execa('mount', [device, mountPoint]);
  return device;
}

/** Writes and syncs for ever; its end tells that the device failed it. */
function writer(mountPoint: string): Program {
  const script = `i=0; while dd if=/dev/zero of=${mountPoint}/busy bs=64k count=16 conv=fsync 2>/dev/null; do echo wrote; done; echo failed`;
  return start('sh', '-c', script);
}

describe.skipIf(needs('root', 'fuse', 'nbdfuse', 'losetup', 'fusermount3', 'mkfs.ext4'))(
  'a device over nbdfuse and loop',
  () => {
    let server: { path: string; dispose: () => void };
    beforeAll(async () => {
      server = await buildProgram('test/unit/device/serve-file.ts');
    });
    afterAll(() => server.dispose());

    /** The server in a process of its own. */
    async function serveFile(stateDir: string): Promise<{ socketPath: string; program: Program }> {
      const [socketPath, file] = [join(stateDir, 'disk1.sock'), join(stateDir, 'disk1.img')];
      await writeFile(file, Buffer.alloc(64 * MIB));
      const program = start(process.execPath, server.path, socketPath, file);
      await program.line(/ready/);
      return { socketPath, program };
    }

    it('makes the loop devices of several resources one after the other, so that none loses its place to another', async () => {
      const here = await bench();
      const { socketPath } = await serveFile(here.stateDir);
      const notes = join(here.stateDir, 'losetup');
      const { PATH = '' } = process.env;
      await mkdir(join(here.stateDir, 'bin'));
      const noting = `#!/bin/sh\necho begins >>${notes}; PATH=${PATH}:/usr/sbin:/sbin losetup "$@"; code=$?; echo ends >>${notes}; exit $code\n`;
      await writeFile(join(here.stateDir, 'bin', 'losetup'), noting, { mode: 0o755 });
      const resources = ['disk1', 'disk2', 'disk3'];
      const signal = AbortSignal.timeout(15_000);
      try {
        process.env['PATH'] = `${here.stateDir}/bin:${PATH}`;
        const attached = resources.map((resource) =>
          here.driver.attach({ resource, socketPath, exportName: EXPORT }, signal),
        );
        expect((await Promise.all(attached)).map(({ path }) => path)).toEqual(
          resources.map((resource) => join(here.stateDir, 'dev', resource)),
        );
      } finally {
        process.env['PATH'] = PATH;
        for (const resource of resources) await here.driver.detach(resource, AbortSignal.timeout(25_000));
      }
      expect((await readFile(notes, 'utf8')).split('\n').slice(0, 6)).toEqual(
        resources.flatMap(() => ['begins', 'ends']),
      );
    });

    it('keeps a file system over detach and attach, clean', async () => {
      const here = await bench();
      const disk = new MemoryDevice(64 * MIB);
      const { socketPath } = await serve(disk);
      const first = await attach(here.driver, socketPath);
      await makeFileSystem(first.path, here.mountPoint);
      await writeFile(join(here.mountPoint, 'file'), 'precious', { flush: true });
      expect(disk.requests).toContain('flush');
      await execa('umount', [here.mountPoint]);
      await detach(here.driver);
      await expectNothingLeft(here);

      const second = await attach(here.driver, socketPath);
      const check = await execa('fsck.ext4', ['-fn', second.path ?? '']);
      expect(check.exitCode).toBe(0);
      await execa('mount', [second.path ?? '', here.mountPoint]);
      expect(await readFile(join(here.mountPoint, 'file'), 'utf8')).toBe('precious');
    });

    it('has the sectors of its disk, so that nothing smaller is ever asked of it', async () => {
      const here = await bench();
      const disk = new MemoryDevice(64 * MIB, { sectorBytes: 4096 });
      const { socketPath } = await serve(disk);
      const options = { resource: 'disk1', socketPath, exportName: EXPORT, sectorBytes: 4096 };
      const { path } = await here.driver.attach(options, AbortSignal.timeout(15_000));
      const { stdout } = await execa('blockdev', ['--getss', path ?? '']);
      expect(stdout).toBe('4096');
      await makeFileSystem(path, here.mountPoint);
      await writeFile(join(here.mountPoint, 'file'), 'precious', { flush: true });
      await execa('umount', [here.mountPoint]);
      expect((await execa('fsck.ext4', ['-fn', path ?? ''])).exitCode).toBe(0);
    });

    it('has a stable name that goes with it', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(8 * MIB));
      const { path } = await attach(here.driver, socketPath);
      expect(path).toBe(join(here.stateDir, 'dev', 'disk1'));
      expect(await readlink(path ?? '')).toMatch(/^\/dev\/loop\d+$/);
      await detach(here.driver);
      await expect(readlink(path ?? '')).rejects.toMatchObject({ code: 'ENOENT' });
    });

    it('does not take a name from another live device', async () => {
      const [one, other] = [await bench(), await bench()];
      const { socketPath } = await serve(new MemoryDevice(8 * MIB));
      await attach(one.driver, socketPath);
      const clash = nbdfuseLoopDriver({ stateDir: other.stateDir, deviceDir: join(one.stateDir, 'dev') });
      await expect(attach(clash, socketPath)).rejects.toMatchObject({ code: 'device-name-taken' });
      await expectNothingLeft(other);
      await expect(stat(join(one.stateDir, 'dev', 'disk1'))).resolves.toBeDefined();
    });

    it('is refused for another epoch, with what nbdfuse said, and leaves nothing', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(8 * MIB));
      await expect(attach(here.driver, socketPath, 'disk1@6-00000000000000aa')).rejects.toMatchObject({
        code: 'device-attach',
        message: expect.stringContaining('disk1@6') as string,
      });
      await expectNothingLeft(here);
    });

    it('leaves nothing when the attempt is cancelled', async () => {
      const here = await bench();
      const device = new MemoryDevice(8 * MIB);
      device.held = [];
      const { socketPath } = await serve(device);
      const controller = new AbortController();
      const attempt = here.driver.attach(
        { resource: 'disk1', socketPath, exportName: EXPORT },
        controller.signal,
      );
      const refused = expect(attempt).rejects.toThrow('changed my mind');
      controller.abort(new Error('changed my mind'));
      await refused;
      await expectNothingLeft(here);
    });

    it('unmounts what nobody uses any more', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(64 * MIB));
      const { path } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);
      await detach(here.driver);
      await expectNothingLeft(here);
    });

    it('that somebody still uses is cut off at once, named with its holder, and gone after the next attempt', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(64 * MIB));
      const { path } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);
      const holder = start('sh', '-c', `cd ${here.mountPoint} && echo in && read line`);
      await holder.line(/in/);
      expect(await here.driver.holders('disk1')).toMatchObject([{ pid: holder.pid, path: here.mountPoint }]);

      await expect(detach(here.driver)).rejects.toMatchObject({
        code: 'device-held',
        message: expect.stringContaining(`(pid ${holder.pid}) has ${here.mountPoint}`) as string,
      });
      await expect(
        writeFile(join(here.mountPoint, 'late'), Buffer.alloc(MIB), { flush: true }),
      ).rejects.toThrow(/EIO|EROFS/);
      expect((await here.driver.leftovers()).map(({ kind }) => kind)).toContain('mount');

      await holder.kill();
      await detach(here.driver);
      await expectNothingLeft(here);
    });

    it('whose server dies fails its writers and can be detached', async () => {
      const here = await bench();
      const { socketPath, program } = await serveFile(here.stateDir);
      const { path } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);
      const busy = writer(here.mountPoint);
      await busy.line(/wrote/);

      await program.kill();

      await busy.line(/failed/);
      await detach(here.driver);
      await expectNothingLeft(here);
    });

    it('whose server hangs is aborted within its bound, and its writers are freed', async () => {
      const here = await bench();
      const { socketPath, program } = await serveFile(here.stateDir);
      const { path } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);
      const busy = writer(here.mountPoint);
      await busy.line(/wrote/);

      program.child.kill('SIGSTOP');
      const began = performance.now();
      await detach(here.driver);

      expect(performance.now() - began).toBeLessThan(10_000);
      await busy.line(/failed/);
      await expectNothingLeft(here);
    });

    it('whose server hangs while nobody writes is aborted after the unmount took too long', async () => {
      const here = await bench();
      const { socketPath, program } = await serveFile(here.stateDir);
      const { path } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);
      await writeFile(join(here.mountPoint, 'unwritten'), Buffer.alloc(MIB));
      program.child.kill('SIGSTOP');
      const began = performance.now();
      await detach(here.driver);
      const took = performance.now() - began;
      expect(took).toBeGreaterThan(1400);
      expect(took).toBeLessThan(10_000);
      await expectNothingLeft(here);
    });

    it.each(['SIGKILL', 'SIGSTOP'] as const)(
      'whose nbdfuse gets %s under a writer is gone within its bound, and tells why',
      async (signal) => {
        const here = await bench();
        const { socketPath } = await serve(new MemoryDevice(64 * MIB));
        const { path } = await attach(here.driver, socketPath);
        await makeFileSystem(path, here.mountPoint);
        const busy = writer(here.mountPoint);
        await busy.line(/wrote/);
        const nbdfuse = (await here.driver.leftovers()).find(({ kind }) => kind === 'process');
        process.kill(Number(nbdfuse?.what), signal);
        // It is dying, not dead, as long as a thread of it is in the kernel.
        if (signal === 'SIGKILL')
          await eventually('nbdfuse has ended', async () => !(await isAlive(Number(nbdfuse?.what))));

        const began = performance.now();
        const trouble = await detach(here.driver);

        expect(performance.now() - began).toBeLessThan(10_000);
        await busy.line(/failed/);
        expect(trouble.join()).toMatch(signal === 'SIGKILL' ? /nbdfuse had ended already/ : /umount/);
        await expectNothingLeft(here);
      },
    );

    it('that goes politely has nothing to tell', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(8 * MIB));
      await attach(here.driver, socketPath);
      expect(await detach(here.driver)).toEqual([]);
    });

    it('whose loop device is left over, held by somebody, is found and goes when it is let go', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(8 * MIB));
      const { path, cleanup } = await attach(here.driver, socketPath);
      const holder = start('sh', '-c', `exec 9<${path} && echo open && read line`);
      await holder.line(/open/);
      for (const action of cleanup.filter(({ kind }) => kind === 'kill')) await performCleanup(action, 3000);
      expect((await here.driver.leftovers()).map(({ kind }) => kind)).toEqual(['loop', 'fuse']);
      await expect(detach(here.driver)).rejects.toMatchObject({ code: 'device-held' });
      await holder.kill();
      await detach(here.driver);
      await expectNothingLeft(here);
    });

    it('of an earlier life is found and detached by the next', async () => {
      const here = await bench();
      const { socketPath } = await serve(new MemoryDevice(64 * MIB));
      const { path } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);

      const nextLife = nbdfuseLoopDriver({ stateDir: here.stateDir });
      const kinds = (await nextLife.leftovers()).map(({ resource, kind }) => `${resource} ${kind}`);
      expect(kinds).toEqual(['disk1 mount', 'disk1 loop', 'disk1 fuse', 'disk1 process']);
      await nextLife.detach('disk1', AbortSignal.timeout(15_000));
      await expectNothingLeft(here);
    });

    it('is freed by its cleanup actions alone, which a second time do nothing', async () => {
      const here = await bench();
      const { socketPath, program } = await serveFile(here.stateDir);
      const { path, cleanup } = await attach(here.driver, socketPath);
      await makeFileSystem(path, here.mountPoint);
      const busy = writer(here.mountPoint);
      await busy.line(/wrote/);
      program.child.kill('SIGSTOP');

      const [first, ...rest] = cleanup;
      expect(first?.kind).toBe('abort-fuse');
      if (first !== undefined) await performCleanup(first, 3000);
      await busy.line(/failed/);
      await busy.exited;
      for (const action of rest) await performCleanup(action, 3000);
      await detach(here.driver);
      await expectNothingLeft(here);
      for (const action of cleanup) await performCleanup(action, 3000);
    });
  },
);
