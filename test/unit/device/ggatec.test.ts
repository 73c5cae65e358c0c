/** There is no ggate here: ggatec is a stand-in that speaks its protocol, and its device is a file. */
import { mkdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { engineExporter } from '../../../src/daemon/engine/exporter.ts';
import { performCleanup } from '../../../src/device/cleanup.ts';
import { ggatecDriver, type GgatecSystem } from '../../../src/device/ggatec.ts';
import { epochExportName } from '../../../src/device/nbd-handshake.ts';
import { processStartTime } from '../../../src/device/processes.ts';
import { runCommand } from '../../../src/device/run-command.ts';
import { DiskError } from '../../../src/model/errors.ts';
import { buildProgram } from '../keeper/program.ts';
import { MemoryDevice } from './memory-device.ts';
import { EPOCH, temporaryDirectory, until } from './nbd-fixture.ts';

const EXPORT = epochExportName('disk1', EPOCH);
const signal = AbortSignal.timeout(60_000);

describe.skipIf(process.platform !== 'linux')('the ggatec driver', () => {
  let program: { path: string; dispose: () => void };
  beforeAll(async () => {
    program = await buildProgram('test/fixtures/ggatec.ts');
  });
  afterAll(() => program.dispose());

  async function machine() {
    const stateDir = await temporaryDirectory();
    const devices = join(stateDir, 'dev-of-freebsd');
    await mkdir(devices);
    const disk = new MemoryDevice(1024 * 1024);
    const exporter = engineExporter(stateDir, 'disk1', true);
    const offered = await exporter.open(disk, EPOCH);
    onTestFinished(() => exporter.close());
    const commands: string[] = [];
    const env = { ...process.env, GGATE_DEVICES: devices };
    const pids: number[] = [];
    let refusing = false;
    const system: GgatecSystem = {
      devices,
      run: async (argv, options) => {
        if (argv[0] === 'mount') return '';
        if (argv[1] !== 'list') commands.push(argv.join(' '));
        if (refusing && argv[1] === 'destroy') throw new DiskError('command-failed', 'ggatec: device busy');
        return runCommand(
          ['env', `GGATE_DEVICES=${devices}`, process.execPath, program.path, ...argv.slice(1)],
          options,
        );
      },
      start: (argv, log) => {
        commands.push(argv.join(' ').replace(/-p \d+/, '-p PORT'));
        const output = openSync(log, 'w');
        const child = spawn(process.execPath, [program.path, ...argv.slice(1)], {
          detached: true,
          env,
          stdio: ['ignore', output, output],
        });
        pids.push(child.pid ?? 0);
        return Promise.resolve(child.pid ?? 0);
      },
    };
    onTestFinished(async () => {
      for (const pid of pids) {
        const startTime = await processStartTime(pid);
        if (startTime !== null) await performCleanup({ kind: 'kill', pid, startTime }, 5000);
      }
    });
    const newLife = () => ggatecDriver({ stateDir, deviceDir: join(stateDir, 'dev') }, system);
    const options = {
      resource: 'disk1',
      socketPath: offered.socket,
      exportName: EXPORT,
      ...(offered.ggate === undefined ? {} : { ggate: offered.ggate }),
    };
    const refuse = (value: boolean): void => {
      refusing = value;
    };
    return { stateDir, devices, disk, exporter, commands, pids, options, newLife, refuse, driver: newLife() };
  }

  it('starts ggatec in the foreground on the first free unit, with the epoch in its path, and names the device', async () => {
    const here = await machine();
    await writeFile(join(here.devices, 'ggate0'), 'somebody else');
    const { path } = await here.driver.attach(here.options, signal);
    expect(here.commands).toEqual([`ggatec create -v -o rw -u 1 -p PORT 127.0.0.1 ${EXPORT}`]);
    expect(path).toBe(join(here.stateDir, 'dev', 'disk1'));
    expect(await readlink(path ?? '')).toBe(join(here.devices, 'ggate1'));
    await until(() => here.disk.content[0] === 0x47);
  });

  it('ends ggatec with its device and name when it detaches, and does nothing the second time', async () => {
    const here = await machine();
    const { path } = await here.driver.attach(here.options, signal);
    await here.driver.detach('disk1', signal);
    expect(here.commands.at(-1)).toBe('ggatec destroy -f -u 0');
    expect(await processStartTime(here.pids[0] ?? 0)).toBeNull();
    await expect(readlink(path ?? '')).rejects.toMatchObject({ code: 'ENOENT' });
    const before = here.commands.length;
    await here.driver.detach('disk1', signal);
    expect(here.commands).toHaveLength(before);
    expect(await here.driver.leftovers()).toEqual([]);
  });

  it('says what ggatec said when the epoch is over, and leaves nothing', async () => {
    const here = await machine();
    await expect(
      here.driver.attach({ ...here.options, exportName: 'disk1@6-00000000000000aa' }, signal),
    ).rejects.toMatchObject({
      code: 'device-attach',
      message: expect.stringContaining('refused 70') as string,
    });
    expect(await here.driver.leftovers()).toEqual([]);
  });

  it('of the next life finds and ends what the last one left, also without its process', async () => {
    const here = await machine();
    await here.driver.attach(here.options, signal);
    const next = here.newLife();
    expect((await next.leftovers()).map(({ kind }) => kind)).toEqual(['ggate', 'process']);
    process.kill(here.pids[0] ?? 0, 'SIGKILL');
    await expect.poll(() => processStartTime(here.pids[0] ?? 0)).toBeNull();
    expect((await next.leftovers()).map(({ kind }) => kind)).toEqual(['ggate']);
    await next.detach('disk1', signal);
    expect(await next.leftovers()).toEqual([]);
  });

  it('never destroys a unit that somebody else has by now', async () => {
    const here = await machine();
    await here.driver.attach(here.options, signal);
    process.kill(here.pids[0] ?? 0, 'SIGKILL');
    await expect.poll(() => processStartTime(here.pids[0] ?? 0)).toBeNull();
    await writeFile(join(here.devices, 'ggate0'), 'NAME: ggate0\ninfo: 10.0.0.1:3080 /other\n');
    const next = here.newLife();
    expect(await next.leftovers()).toEqual([]);
    await next.detach('disk1', signal);
    expect(await readFile(join(here.devices, 'ggate0'), 'utf8')).toContain('/other');
  });

  it('that cannot destroy the device says so, and has ended the process all the same', async () => {
    const here = await machine();
    await here.driver.attach(here.options, signal);
    here.refuse(true);
    await expect(here.driver.detach('disk1', signal)).rejects.toMatchObject({
      code: 'device-held',
      message: expect.stringContaining('device busy') as string,
    });
    expect(await processStartTime(here.pids[0] ?? 0)).toBeNull();
    here.refuse(false);
    await here.driver.detach('disk1', signal);
    expect(await here.driver.leftovers()).toEqual([]);
  });

  it('has cleanup actions for the keeper that free the waiting first', async () => {
    const here = await machine();
    const { cleanup } = await here.driver.attach(here.options, signal);
    expect(cleanup).toMatchObject([
      { kind: 'run', argv: ['ggatec', 'destroy', '-f', '-u', '0'] },
      { kind: 'kill', pid: here.pids[0] },
    ]);
  });

  it('is refused where no ggate server runs', async () => {
    const here = await machine();
    const { resource, socketPath, exportName } = here.options;
    await expect(here.driver.attach({ resource, socketPath, exportName }, signal)).rejects.toMatchObject({
      code: 'device-attach',
    });
    await rm(here.stateDir, { recursive: true });
  });
});
