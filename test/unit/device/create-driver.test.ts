import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createDeviceDriver } from '../../../src/device/create-driver.ts';
import { needs } from '../../support/needs.ts';
import { temporaryDirectory } from './nbd-fixture.ts';

const signal = AbortSignal.timeout(10_000);

describe('the choice of a device driver', () => {
  it.each(['none', 'nbd-client', 'nbdfuse-loop'] as const)('is what the group says: %s', async (kind) => {
    expect((await createDeviceDriver(kind, { stateDir: await temporaryDirectory() })).kind).toBe(kind);
  });

  it.skipIf(needs('root', 'losetup'))('is a real device for root on Linux', async () => {
    const driver = await createDeviceDriver('auto', { stateDir: await temporaryDirectory() });
    expect(['nbd-client', 'nbdfuse-loop']).toContain(driver.kind);
  });

  it('none attaches nothing and cleans up nothing', async () => {
    const driver = await createDeviceDriver('none', { stateDir: await temporaryDirectory() });
    const options = { resource: 'disk1', socketPath: '/s', exportName: 'disk1' };
    expect(await driver.attach(options, signal)).toEqual({ path: null, cleanup: [] });
    await driver.detach('disk1', signal);
    expect(await driver.leftovers()).toEqual([]);
  });

  it('state of a device that is gone, or that nobody can read, is no leftover', async () => {
    const stateDir = await temporaryDirectory();
    await mkdir(join(stateDir, 'device', 'disk1', 'mnt'), { recursive: true });
    await mkdir(join(stateDir, 'nbd-client'));
    await writeFile(join(stateDir, 'nbd-client', 'disk1.json'), '{"device":"/dev/sda","pid":null}');
    const driver = await createDeviceDriver('none', { stateDir });
    expect(await driver.leftovers()).toEqual([]);
    await driver.detach('disk1', signal);
  });
});
