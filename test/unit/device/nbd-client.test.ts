/** The kernel's NBD client does not run here: the commands are recorded and the kernel's list is a directory. */
import { mkdir, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskError } from '../../../src/model/errors.ts';
import { nbdClientDriver } from '../../../src/device/nbd-client.ts';
import type { RunCommand } from '../../../src/device/run-command.ts';
import { temporaryDirectory } from './nbd-fixture.ts';

const OPTIONS = {
  resource: 'disk1',
  socketPath: '/state/nbd/disk1.sock',
  exportName: 'disk1@7-00000000000000aa',
};
const signal = AbortSignal.timeout(20_000);

/** A kernel with `count` devices, of which `taken` have a client already. */
async function kernel(count: number, taken: readonly number[] = []) {
  const stateDir = await temporaryDirectory();
  const sysBlock = join(stateDir, 'sys-block');
  const pidFile = (device: string) => join(sysBlock, device.replace('/dev/', ''), 'pid');
  for (let index = 0; index < count; index += 1)
    await mkdir(join(sysBlock, `nbd${index}`), { recursive: true });
  for (const index of taken) await writeFile(pidFile(`/dev/nbd${index}`), '99\n');
  const commands: string[] = [];
  const refused = new Set<string>();
  const run: RunCommand = async (argv) => {
    commands.push(argv.join(' '));
    const device = argv.find((word) => word.startsWith('/dev/nbd')) ?? '';
    if (refused.has(device)) throw new DiskError('command-failed', `${argv.join(' ')}: refused`);
    if (argv.includes('-d')) await rm(pidFile(device), { force: true });
    else await writeFile(pidFile(device), '4711\n');
    return '';
  };
  const newLife = () => nbdClientDriver({ stateDir, deviceDir: join(stateDir, 'dev') }, { run, sysBlock });
  return { stateDir, pidFile, commands, refused, newLife, driver: newLife() };
}

describe('the nbd-client driver', () => {
  it('connects the first free device, never persistently, and gives it the stable name', async () => {
    const { driver, commands, stateDir } = await kernel(12, [0, 1]);
    const attached = await driver.attach(OPTIONS, signal);
    expect(commands).toEqual([
      'nbd-client -unix /state/nbd/disk1.sock /dev/nbd2 -name disk1@7-00000000000000aa -block-size 512',
    ]);
    expect(attached).toEqual({
      path: join(stateDir, 'dev', 'disk1'),
      cleanup: [{ kind: 'run', argv: ['nbd-client', '-d', '/dev/nbd2'] }],
    });
    expect(await readlink(attached.path ?? '')).toBe('/dev/nbd2');
  });

  it('passes larger sectors on', async () => {
    const { driver, commands } = await kernel(1);
    await driver.attach({ ...OPTIONS, sectorBytes: 4096 }, signal);
    expect(commands[0]).toMatch(/-block-size 4096$/);
  });

  it('tries the next device when somebody else was faster', async () => {
    const { driver, refused, commands } = await kernel(3);
    refused.add('/dev/nbd0');
    await driver.attach(OPTIONS, signal);
    expect(commands).toHaveLength(2);
    expect(await driver.leftovers()).toEqual([{ resource: 'disk1', kind: 'nbd', what: '/dev/nbd1' }]);
  });

  it('says what to do when there is no device, and leaves nothing', async () => {
    const { driver } = await kernel(1, [0]);
    await expect(driver.attach(OPTIONS, signal)).rejects.toMatchObject({
      code: 'device-none-free',
      message: expect.stringContaining('modprobe nbd') as string,
    });
    expect(await driver.leftovers()).toEqual([]);
  });

  it('of the next life finds and disconnects what the last one left', async () => {
    const { driver, newLife, commands } = await kernel(2);
    const { path } = await driver.attach(OPTIONS, signal);
    const next = newLife();
    expect(await next.leftovers()).toEqual([{ resource: 'disk1', kind: 'nbd', what: '/dev/nbd0' }]);
    await next.detach('disk1', signal);
    expect(commands.at(-1)).toBe('nbd-client -d /dev/nbd0');
    expect(await next.leftovers()).toEqual([]);
    await expect(readlink(path ?? '')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('never disconnects a device that somebody else uses by now', async () => {
    const { driver, pidFile, commands, newLife } = await kernel(1);
    await driver.attach(OPTIONS, signal);
    await writeFile(pidFile('/dev/nbd0'), '5000\n');
    const next = newLife();
    expect(await next.leftovers()).toEqual([]);
    await next.detach('disk1', signal);
    expect(commands).toHaveLength(1);
  });

  it('that cannot disconnect says so', async () => {
    const { driver, refused } = await kernel(1);
    await driver.attach(OPTIONS, signal);
    refused.add('/dev/nbd0');
    await expect(driver.detach('disk1', signal)).rejects.toMatchObject({
      code: 'device-held',
      message: expect.stringContaining('nbd-client -d /dev/nbd0: refused') as string,
    });
    expect(await driver.leftovers()).toHaveLength(1);
  });
});
