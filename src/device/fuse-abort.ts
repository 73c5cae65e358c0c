/**
 * Ends a FUSE connection from outside: everybody who waits for it gets an error at once. The one
 * thing that frees a device whose server hangs, also under memory pressure.
 */
import { writeFile } from 'node:fs/promises';
import { DiskError } from '../model/errors.ts';
import { listMounts } from './mounts.ts';
import { bounded, runCommand } from './run-command.ts';

const CONNECTIONS = '/sys/fs/fuse/connections';
const MOUNT_TIMEOUT_MS = 2000;

/** Makes abortFuse() possible, where it is allowed. @returns whether it is possible */
export async function mountFuseControl(): Promise<boolean> {
  if (await isMounted()) return true;
  const argv = ['mount', '-t', 'fusectl', 'fusectl', CONNECTIONS];
  await runCommand(argv, { timeoutMs: MOUNT_TIMEOUT_MS }).catch(() => undefined);
  return isMounted();
}

/**
 * A connection that is no more is success.
 * @param minor of the FUSE mount's device number
 * @throws DiskError `fuse-abort`, `command-timeout`
 */
export async function abortFuse(minor: number, timeoutMs: number): Promise<void> {
  if (!(await mountFuseControl())) {
    throw new DiskError(
      'fuse-abort',
      `cannot abort FUSE connection ${minor}: ${CONNECTIONS} cannot be mounted`,
    );
  }
  const path = `${CONNECTIONS}/${minor}/abort`;
  const write = writeFile(path, '1', { flag: 'w' }).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return;
    throw new DiskError('fuse-abort', `cannot abort FUSE connection ${minor} through ${path}`, { cause });
  });
  await bounded(write, timeoutMs, `write to ${path}`);
}

async function isMounted(): Promise<boolean> {
  return (await listMounts()).some((mount) => mount.type === 'fusectl' && mount.path === CONNECTIONS);
}
