/**
 * The Linux kernel's NBD client. Never `-persist`: a device client that reconnects would replay into a
 * later epoch.
 * @see SAFETY D3
 */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
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
import { deviceDirectory, removeDeviceName, setDeviceName } from './device-name.ts';
import { listMounts, type Mount } from './mounts.ts';
import { findHolders } from './processes.ts';
import { runCommand, type RunCommand } from './run-command.ts';

const ATTACH_TIMEOUT_MS = 10_000;
const ROLLBACK_TIMEOUT_MS = 20_000;
const DISCONNECT_TIMEOUT_MS = 5000;
const GONE_TIMEOUT_MS = 2000;
const GONE_CHECK_MS = 20;

/** Where the driver meets the machine. */
export interface NbdClientSystem {
  readonly run: RunCommand;
  /** The kernel's list of block devices. */
  readonly sysBlock: string;
}

/** Written before the device is taken; `pid` is what the kernel shows of its user, null until then. */
interface NbdRecord {
  readonly device: string;
  readonly pid: string | null;
}

const REAL: NbdClientSystem = { run: runCommand, sysBlock: '/sys/block' };

export function nbdClientDriver(options: DriverOptions, system: NbdClientSystem = REAL): DeviceDriver {
  return new NbdClientDriver(options, system);
}

class NbdClientDriver implements DeviceDriver {
  readonly kind = 'nbd-client';
  readonly #options: DriverOptions;
  readonly #system: NbdClientSystem;
  readonly #directory: string;

  constructor(options: DriverOptions, system: NbdClientSystem) {
    this.#options = options;
    this.#system = system;
    this.#directory = join(options.stateDir, 'nbd-client');
  }

  async attach(options: AttachOptions, signal: AbortSignal): Promise<AttachedDevice> {
    await this.detach(options.resource, signal);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const device = await this.#connectFree(options, signal);
    const name = join(await deviceDirectory(this.#options), options.deviceName ?? options.resource);
    try {
      await setDeviceName(name, device, this.#nameRecord(options.resource));
    } catch (error) {
      // What this cannot remove, leftovers() tells.
      await this.detach(options.resource, AbortSignal.timeout(ROLLBACK_TIMEOUT_MS)).catch(() => undefined);
      throw error;
    }
    return { path: name, cleanup: [{ kind: 'run', argv: ['nbd-client', '-d', device] }] };
  }

  async detach(resource: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    await removeDeviceName(this.#nameRecord(resource));
    const device = await this.#liveDevice(resource);
    const trouble: string[] = [];
    if (device !== null) {
      const note = (error: unknown): void => {
        signal.throwIfAborted();
        trouble.push(describeError(error));
      };
      const timeoutMs = this.#options.unmountTimeoutMs ?? UNMOUNT_TIMEOUT_MS;
      for (const { path } of (await this.#mounts(device)).reverse()) {
        const argv = ['umount', '--no-canonicalize', path];
        await this.#system.run(argv, { timeoutMs, signal }).catch(note);
      }
      const argv = ['nbd-client', '-d', device];
      await this.#system.run(argv, { timeoutMs: DISCONNECT_TIMEOUT_MS, signal }).catch(note);
      await this.#expectGone(resource, device, trouble, signal);
    }
    await rm(this.#record(resource), { force: true });
    return trouble;
  }

  async holders(resource: string) {
    const device = await this.#liveDevice(resource);
    if (device === null) return [];
    return findHolders([device, ...(await this.#mounts(device)).map((mount) => mount.path)]);
  }

  async leftovers(): Promise<Leftover[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const found: Leftover[] = [];
    for (const name of names.filter((one) => one.endsWith('.json'))) {
      const resource = decodeURIComponent(name.slice(0, -'.json'.length));
      const device = await this.#liveDevice(resource);
      if (device === null) continue;
      for (const { path } of await this.#mounts(device)) found.push({ resource, kind: 'mount', what: path });
      found.push({ resource, kind: 'nbd', what: device });
    }
    return found;
  }

  /** Somebody else may take a free device before we do: then the next one is tried. */
  async #connectFree(options: AttachOptions, signal: AbortSignal): Promise<string> {
    let failure: unknown = new DiskError(
      'device-none-free',
      'no free /dev/nbd device; load the nbd module (modprobe nbd)',
    );
    for (const device of await this.#freeDevices()) {
      signal.throwIfAborted();
      await this.#writeRecord(options.resource, { device, pid: null });
      const sector = String(options.sectorBytes ?? 512);
      const argv = [
        'nbd-client',
        '-unix',
        options.socketPath,
        device,
        '-name',
        options.exportName,
        '-block-size',
        sector,
      ];
      try {
        await this.#system.run(argv, { timeoutMs: ATTACH_TIMEOUT_MS, signal });
        const pid = await this.#pid(device);
        if (pid === null)
          throw new DiskError('device-attach', `nbd-client said nothing wrong, but ${device} has no client`);
        await this.#writeRecord(options.resource, { device, pid });
        return device;
      } catch (error) {
        await rm(this.#record(options.resource), { force: true });
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }

  async #freeDevices(): Promise<string[]> {
    const names = (await readdir(this.#system.sysBlock).catch(() => [])).filter((name) =>
      /^nbd\d+$/.test(name),
    );
    const ordered = names
      .sort((a, b) => Number(a.slice(3)) - Number(b.slice(3)))
      .map((name) => `/dev/${name}`);
    const free = await Promise.all(ordered.map(async (device) => (await this.#pid(device)) === null));
    return ordered.filter((_device, index) => free[index]);
  }

  /** The recorded device while its client still is the one that we started. */
  async #liveDevice(resource: string): Promise<string | null> {
    const text = await readFile(this.#record(resource), 'utf8').catch(() => null);
    if (text === null) return null;
    const record = parseRecord(text);
    if (record === null) return null;
    const pid = await this.#pid(record.device);
    return pid !== null && (record.pid === null || record.pid === pid) ? record.device : null;
  }

  async #expectGone(resource: string, device: string, trouble: string[], signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + GONE_TIMEOUT_MS;
    for (;;) {
      signal.throwIfAborted();
      const mounts = await this.#mounts(device);
      if ((await this.#liveDevice(resource)) === null && mounts.length === 0) return;
      if (performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, GONE_CHECK_MS));
        continue;
      }
      const holders = await findHolders([device, ...mounts.map((mount) => mount.path)]);
      const who = holders.map(({ name, pid, path }) => `${name} (pid ${pid}) has ${path}`).join('; ');
      throw new DiskError(
        'device-held',
        `${device} of ${resource} does not go away: ${who || 'no process found that holds it'}. ` +
          `Stop what holds it, then detach again. Tried: ${trouble.join('; ')}`,
      );
    }
  }

  async #pid(device: string): Promise<string | null> {
    const path = join(this.#system.sysBlock, device.slice('/dev/'.length), 'pid');
    const pid = await readFile(path, 'utf8').catch(() => null);
    return pid === null ? null : pid.trim();
  }

  async #mounts(device: string): Promise<Mount[]> {
    return (await listMounts()).filter((mount) => mount.source === device);
  }

  async #writeRecord(resource: string, record: NbdRecord): Promise<void> {
    await writeFile(this.#record(resource), JSON.stringify(record), { mode: 0o600 });
  }

  #record(resource: string): string {
    return join(this.#directory, `${encodeURIComponent(resource)}.json`);
  }

  #nameRecord(resource: string): string {
    return join(this.#directory, `${encodeURIComponent(resource)}.name`);
  }
}

function parseRecord(text: string): NbdRecord | null {
  try {
    const { device, pid } = JSON.parse(text) as Partial<NbdRecord>;
    const isDevice = typeof device === 'string' && /^\/dev\/nbd\d+$/.test(device);
    return isDevice && (pid === null || typeof pid === 'string') ? { device, pid } : null;
  } catch {
    return null;
  }
}
