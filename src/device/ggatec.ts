/**
 * FreeBSD's ggatec on the engine's ggate server. It connects again for ever, so it runs in the foreground under
 * a pid that we know, with a path that only this epoch serves, and is ended with the epoch.
 * Never run on FreeBSD here: the commands are those of its manual page.
 * @see SAFETY D3, hast.md section 11
 */
import { spawn } from 'node:child_process';
import { access, mkdir, open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskError, describeError } from '../model/errors.ts';
import {
  UNMOUNT_TIMEOUT_MS,
  type AttachOptions,
  type AttachedDevice,
  type DeviceDriver,
  type DriverOptions,
  type Leftover,
} from './attach.ts';
import { performCleanup } from './cleanup.ts';
import { deviceDirectory, removeDeviceName, setDeviceName } from './device-name.ts';
import { findHolders, processStartTime, type ProcessId } from './processes.ts';
import { runCommand, type RunCommand } from './run-command.ts';

const READY_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 5000;
const KILL_TIMEOUT_MS = 2000;
const ROLLBACK_TIMEOUT_MS = 20_000;
const GONE_TIMEOUT_MS = 2000;
const CHECK_MS = 20;
const LOG_TAIL_CHARACTERS = 1000;
const MAX_UNITS = 256;

/** Where the driver meets the machine. */
export interface GgatecSystem {
  readonly run: RunCommand;
  /** Starts a program that stays, in a session of its own, with its output in `log`. Resolves with its pid. */
  readonly start: (argv: readonly string[], log: string) => Promise<number>;
  /** `/dev` */
  readonly devices: string;
}

/** Written before the unit is taken; no process until ggatec runs. */
interface GgatecRecord {
  readonly unit: number;
  /** The path that ggatec asks for: it tells our unit from one that somebody else has by now. */
  readonly path: string;
  readonly process: ProcessId | null;
}

interface Found {
  readonly record: GgatecRecord;
  readonly device: string;
  readonly hasDevice: boolean;
  readonly hasProcess: boolean;
}

const REAL: GgatecSystem = { run: runCommand, start: startDetached, devices: '/dev' };

export function ggatecDriver(options: DriverOptions, system: GgatecSystem = REAL): DeviceDriver {
  return new GgatecDriver(options, system);
}

class GgatecDriver implements DeviceDriver {
  readonly kind = 'ggatec';
  readonly #options: DriverOptions;
  readonly #system: GgatecSystem;
  readonly #directory: string;

  constructor(options: DriverOptions, system: GgatecSystem) {
    this.#options = options;
    this.#system = system;
    this.#directory = join(options.stateDir, 'ggatec');
  }

  async attach(options: AttachOptions, signal: AbortSignal): Promise<AttachedDevice> {
    const { resource, ggate } = options;
    if (ggate === undefined)
      throw new DiskError(
        'device-attach',
        `${resource} is not offered to ggatec on this system; use device: none`,
      );
    await this.detach(resource, signal);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const name = join(await deviceDirectory(this.#options), options.deviceName ?? resource);
    try {
      const { unit, process } = await this.#start(options, ggate, signal);
      await setDeviceName(name, this.#device(unit), this.#file(resource, 'name'));
      return {
        path: name,
        // First what frees those who wait for the device.
        cleanup: [
          { kind: 'run', argv: destroyCommand(unit) },
          { kind: 'kill', ...process },
        ],
      };
    } catch (error) {
      // What this cannot remove, leftovers() tells.
      await this.detach(resource, AbortSignal.timeout(ROLLBACK_TIMEOUT_MS)).catch(() => undefined);
      throw error;
    }
  }

  async detach(resource: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    await removeDeviceName(this.#file(resource, 'name'));
    const found = await this.#find(resource, signal);
    const trouble: string[] = [];
    if (found !== null) {
      for (const step of this.#steps(found, signal)) {
        await step().catch((error: unknown) => {
          signal.throwIfAborted();
          trouble.push(describeError(error));
        });
      }
      await this.#expectGone(resource, trouble, signal);
    }
    for (const kind of ['json', 'log'] as const) await rm(this.#file(resource, kind), { force: true });
    return trouble;
  }

  async holders(resource: string) {
    const found = await this.#find(resource);
    return found === null ? [] : findHolders([found.device]);
  }

  async leftovers(): Promise<Leftover[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const left: Leftover[] = [];
    for (const name of names.filter((one) => one.endsWith('.json'))) {
      const resource = decodeURIComponent(name.slice(0, -'.json'.length));
      const found = await this.#find(resource);
      if (found?.hasDevice === true) left.push({ resource, kind: 'ggate', what: found.device });
      if (found?.hasProcess === true)
        left.push({ resource, kind: 'process', what: String(found.record.process?.pid) });
    }
    return left;
  }

  async #start(
    { resource, exportName }: AttachOptions,
    { host, port }: NonNullable<AttachOptions['ggate']>,
    signal: AbortSignal,
  ): Promise<{ unit: number; process: ProcessId }> {
    const unit = await this.#freeUnit();
    await this.#write(resource, { unit, path: exportName, process: null });
    const argv = [
      'ggatec',
      'create',
      '-v',
      '-o',
      'rw',
      '-u',
      String(unit),
      '-p',
      String(port),
      host,
      exportName,
    ];
    const log = this.#file(resource, 'log');
    const pid = await this.#system.start(argv, log);
    const startTime = await processStartTime(pid);
    if (startTime !== null)
      await this.#write(resource, { unit, path: exportName, process: { pid, startTime } });
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!(await this.#exists(unit))) {
      signal.throwIfAborted();
      const alive = startTime !== null && (await processStartTime(pid)) === startTime;
      if (alive && performance.now() < deadline) {
        await pause();
        continue;
      }
      const said = (await readFile(log, 'utf8').catch(() => '')).slice(-LOG_TAIL_CHARACTERS).trim();
      const why = said || (alive ? `no device within ${READY_TIMEOUT_MS} ms` : 'it ended without a word');
      throw new DiskError('device-attach', `ggatec made no ${this.#device(unit)} for ${exportName}: ${why}`);
    }
    if (startTime === null) throw new DiskError('device-attach', `ggatec ended as soon as it had begun`);
    return { unit, process: { pid, startTime } };
  }

  #steps({ record, device, hasDevice }: Found, signal: AbortSignal): (() => Promise<unknown>)[] {
    const { run } = this.#system;
    const unmountMs = this.#options.unmountTimeoutMs ?? UNMOUNT_TIMEOUT_MS;
    const unmount = async (): Promise<void> => {
      const mounted = await run(['mount', '-p'], { timeoutMs: COMMAND_TIMEOUT_MS, signal });
      if (mounted.split('\n').some((line) => line.split(/\s/, 1)[0] === device))
        await run(['umount', device], { timeoutMs: unmountMs, signal });
    };
    const destroy = (): Promise<unknown> =>
      run(destroyCommand(record.unit), { timeoutMs: COMMAND_TIMEOUT_MS, signal });
    const { process } = record;
    const kill = (): Promise<void> =>
      process === null ? Promise.resolve() : performCleanup({ kind: 'kill', ...process }, KILL_TIMEOUT_MS);
    return hasDevice ? [unmount, destroy, kill] : [kill];
  }

  async #expectGone(resource: string, trouble: readonly string[], signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + GONE_TIMEOUT_MS;
    for (;;) {
      const found = await this.#find(resource, signal);
      if (found === null) return;
      if (performance.now() >= deadline) {
        throw new DiskError(
          'device-held',
          `${found.device} of ${resource} does not go away: stop what uses it, then detach again. ` +
            `Tried: ${trouble.join('; ')}`,
        );
      }
      await pause();
    }
  }

  /** Null: nothing of it is left. */
  async #find(resource: string, signal?: AbortSignal): Promise<Found | null> {
    const text = await readFile(this.#file(resource, 'json'), 'utf8').catch(() => null);
    const record = text === null ? null : parseRecord(text);
    if (record === null) return null;
    const { unit, process } = record;
    const hasProcess = process !== null && (await processStartTime(process.pid)) === process.startTime;
    const hasDevice = (await this.#exists(unit)) && (await this.#isOurs(record, signal));
    return hasProcess || hasDevice ? { record, device: this.#device(unit), hasDevice, hasProcess } : null;
  }

  /** What cannot be told is taken for ours: to leave a device of ours is worse than to say that one is in the way. */
  async #isOurs({ unit, path }: GgatecRecord, signal?: AbortSignal): Promise<boolean> {
    const options = { timeoutMs: COMMAND_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
    const listed = await this.#system
      .run(['ggatec', 'list', '-v', '-u', String(unit)], options)
      .catch(() => null);
    return listed === null ? this.#exists(unit) : listed.includes(path);
  }

  async #freeUnit(): Promise<number> {
    for (let unit = 0; unit < MAX_UNITS; unit += 1) if (!(await this.#exists(unit))) return unit;
    throw new DiskError(
      'device-none-free',
      `all of ${MAX_UNITS} ggate devices are taken: destroy those left over`,
    );
  }

  #exists(unit: number): Promise<boolean> {
    return access(this.#device(unit)).then(
      () => true,
      () => false,
    );
  }

  #device(unit: number): string {
    return join(this.#system.devices, `ggate${unit}`);
  }

  async #write(resource: string, record: GgatecRecord): Promise<void> {
    await writeFile(this.#file(resource, 'json'), JSON.stringify(record), { mode: 0o600 });
  }

  #file(resource: string, kind: 'json' | 'name' | 'log'): string {
    return join(this.#directory, `${encodeURIComponent(resource)}.${kind}`);
  }
}

function destroyCommand(unit: number): string[] {
  return ['ggatec', 'destroy', '-f', '-u', String(unit)];
}

async function startDetached(argv: readonly string[], log: string): Promise<number> {
  const [file = '', ...args] = argv;
  const output = await open(log, 'w', 0o600);
  try {
    const child = spawn(file, args, { detached: true, cwd: '/', stdio: ['ignore', output.fd, output.fd] });
    const failed = new Promise<never>((_resolve, reject) => {
      child.on('error', (cause) =>
        reject(new DiskError('command-missing', `cannot start ${file}; use device: none`, { cause })),
      );
    });
    child.unref();
    const { pid } = child;
    return pid === undefined ? await failed : pid;
  } finally {
    await output.close();
  }
}

function parseRecord(text: string): GgatecRecord | null {
  try {
    const { unit, path, process } = JSON.parse(text) as Partial<GgatecRecord>;
    if (!Number.isSafeInteger(unit) || typeof path !== 'string') return null;
    const isProcess = typeof process?.pid === 'number' && typeof process.startTime === 'string';
    return { unit: unit ?? 0, path, process: isProcess ? process : null };
  } catch {
    return null;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, CHECK_MS));
}
