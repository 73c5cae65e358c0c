/**
 * A block device on Linux without the kernel's NBD client: nbdfuse shows the export as a file,
 * a loop device makes it a disk.
 * @see SAFETY D1-D3
 */
import { spawn } from 'node:child_process';
import { mkdir, open, readFile, readdir, realpath, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DiskError } from '../model/errors.ts';
import type { AttachOptions, AttachedDevice, DeviceDriver, DriverOptions } from './attach.ts';
import { deviceDirectory, setDeviceName } from './device-name.ts';
import { mountFuseControl } from './fuse-abort.ts';
import { listLoops } from './mounts.ts';
import { detachNbdfuse } from './nbdfuse-detach.ts';
import { NBDFUSE, asLeftovers, findAttachment, holdersOf, placesOf, type Places } from './nbdfuse-found.ts';
import { bounded, runCommand } from './run-command.ts';

const READY_TIMEOUT_MS = 5000;
const READY_CHECK_MS = 5;
const LOSETUP_TIMEOUT_MS = 5000;
const ROLLBACK_TIMEOUT_MS = 20_000;
const LOG_TAIL_CHARACTERS = 1000;

/** One losetup after the other. */
type InTurn = (losetup: () => Promise<string>) => Promise<string>;

export function nbdfuseLoopDriver(options: DriverOptions): DeviceDriver {
  const root = async (): Promise<string> => {
    const directory = join(options.stateDir, 'device');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return realpath(directory);
  };
  const places = async (resource: string): Promise<Places> => placesOf(await root(), directoryName(resource));
  // losetup finds a free device and takes it in two steps: who loses it to another one in between sleeps for 200 ms.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn: InTurn = (losetup) => {
    const mine = last.then(losetup);
    last = mine.catch(() => undefined);
    return mine;
  };
  return {
    kind: 'nbdfuse-loop',
    async attach(attachOptions, signal) {
      const place = await places(attachOptions.resource);
      await detachNbdfuse(place, signal, options.unmountTimeoutMs);
      const name = join(await deviceDirectory(options), attachOptions.deviceName ?? attachOptions.resource);
      try {
        return await attachNbdfuse(place, name, { ...attachOptions, inTurn }, signal);
      } catch (error) {
        // What this cannot remove, leftovers() tells; the cause is what the operator needs first.
        await detachNbdfuse(place, AbortSignal.timeout(ROLLBACK_TIMEOUT_MS)).catch(() => undefined);
        throw error;
      }
    },
    detach: async (resource, signal) =>
      detachNbdfuse(await places(resource), signal, options.unmountTimeoutMs),
    holders: async (resource) => holdersOf(await findAttachment(await places(resource))),
    async leftovers() {
      const base = await root();
      const all = await Promise.all(
        (await readdir(base)).map(async (name) => {
          const place = placesOf(base, name);
          return asLeftovers(place.resource, await findAttachment(place));
        }),
      );
      return all.flat();
    },
  };
}

async function attachNbdfuse(
  places: Places,
  name: string,
  options: AttachOptions & { readonly inTurn: InTurn },
  signal: AbortSignal,
): Promise<AttachedDevice> {
  await mkdir(places.mountPoint, { recursive: true, mode: 0o700 });
  await mountFuseControl();
  await startNbdfuse(places, options, signal);
  const loop = await attachLoop(places, options, signal);
  await setDeviceName(name, loop, places.nameRecord);
  const { fuse, processes } = await findAttachment(places);
  const { mountPoint, file } = places;
  return {
    path: name,
    cleanup: [
      ...fuse.map(({ minor }) => ({ kind: 'abort-fuse' as const, minor, mountPoint })),
      ...processes.map((id) => ({ kind: 'kill' as const, ...id })),
      { kind: 'detach-loop', device: loop, backingFile: file },
    ],
  };
}

/** In a session of its own: a signal to our process group must not take the device from under its users. */
async function startNbdfuse(places: Places, options: AttachOptions, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await rm(places.pidFile, { force: true });
  const log = await open(places.log, 'w', 0o600);
  const uri = `nbd+unix:///${encodeURIComponent(options.exportName)}?socket=${encodeURIComponent(resolve(options.socketPath))}`;
  const subprocess = spawn(NBDFUSE, ['-P', places.pidFile, places.file, uri], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', log.fd, log.fd],
  });
  subprocess.unref();
  const ended = new Promise<never>((_resolve, reject) => {
    subprocess.on('error', (cause) => {
      const advice = 'install it (package libnbd-bin) or set device: none';
      reject(new DiskError('command-missing', `cannot start nbdfuse; ${advice}`, { cause }));
    });
    subprocess.on('exit', (code, killer) => {
      void readFile(places.log, 'utf8')
        .catch(() => '')
        .then((said) => reject(startError(options, said, String(code ?? killer))));
    });
  });
  // It ends with the device, long after anybody waits here.
  ended.catch(() => undefined);
  await log.close();
  const waiting = new AbortController();
  try {
    const ready = waitForPidFile(places.pidFile, waiting.signal);
    await bounded(
      Promise.race([ready, ended]),
      READY_TIMEOUT_MS,
      `start of nbdfuse for ${options.resource}`,
      signal,
    );
  } finally {
    waiting.abort();
  }
}

function startError({ exportName, socketPath }: AttachOptions, said: string, status: string): DiskError {
  const why = said.slice(-LOG_TAIL_CHARACTERS).trim() || `it ended with ${status}`;
  return new DiskError(
    'device-attach',
    `nbdfuse could not open export ${exportName} on ${socketPath}: ${why}`,
  );
}

/** nbdfuse writes it when the file can be used. */
async function waitForPidFile(path: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await readFile(path, 'utf8').catch(() => '')) === '') {
    await new Promise((resolve) => setTimeout(resolve, READY_CHECK_MS));
  }
}

async function attachLoop(
  places: Places,
  { sectorBytes = 512, inTurn }: AttachOptions & { readonly inTurn: InTurn },
  signal: AbortSignal,
): Promise<string> {
  const sector = sectorBytes === 512 ? [] : ['--sector-size', String(sectorBytes)];
  const argv = ['losetup', '-f', '--show', '--direct-io=on', ...sector, places.file];
  const path = await inTurn(() => runCommand(argv, { timeoutMs: LOSETUP_TIMEOUT_MS, signal }));
  const loop = (await listLoops()).find((one) => one.path === path);
  if (loop?.directIo === true) return path;
  throw new DiskError(
    'device-attach',
    `${path} has no direct I/O on ${places.file} and would read stale data; use device: nbd-client or none`,
  );
}

/** One path component, whatever hast.conf calls the resource. */
function directoryName(resource: string): string {
  return encodeURIComponent(resource).replace(/^\.+$/, (dots) => dots.replaceAll('.', '%2E'));
}
