/**
 * What must be undone when a daemon dies: plain data, so that the keeper can hold it without
 * knowing where it came from. Every action may be performed twice, and hits nothing that
 * has taken the place of what was meant.
 * @see SAFETY D2
 */
import { DiskError } from '../model/errors.ts';
import { abortFuse } from './fuse-abort.ts';
import { listLoops, listMounts } from './mounts.ts';
import { processStartTime } from './processes.ts';
import { runCommand } from './run-command.ts';

const GONE_CHECK_MS = 10;

export type CleanupAction =
  | { readonly kind: 'run'; readonly argv: readonly string[] }
  /** With `mountPoint`: only while that FUSE mount has this minor. */
  | { readonly kind: 'abort-fuse'; readonly minor: number; readonly mountPoint?: string }
  /** With `backingFile`: only while that is what the loop device shows. */
  | { readonly kind: 'detach-loop'; readonly device: string; readonly backingFile?: string }
  /** Only the process that had this pid at that time. @see processStartTime */
  | { readonly kind: 'kill'; readonly pid: number; readonly startTime: string };

/**
 * Nothing left to do is success.
 * @param timeoutMs bound of the whole action
 * @throws DiskError what could not be done, and why
 */
export async function performCleanup(action: CleanupAction, timeoutMs: number): Promise<void> {
  switch (action.kind) {
    case 'run':
      await runCommand(action.argv, { timeoutMs });
      return;
    case 'abort-fuse':
      if (await isFuse(action.minor, action.mountPoint)) await abortFuse(action.minor, timeoutMs);
      return;
    case 'detach-loop':
      if (!(await isLoop(action.device, action.backingFile))) return;
      await runCommand(['losetup', '-d', action.device], { timeoutMs });
      return;
    case 'kill':
      await killProcess(action.pid, action.startTime, timeoutMs);
  }
}

/** For a log line. */
export function describeCleanup(action: CleanupAction): string {
  switch (action.kind) {
    case 'run':
      return action.argv.join(' ');
    case 'abort-fuse':
      return `abort FUSE connection ${action.minor}`;
    case 'detach-loop':
      return `detach ${action.device}`;
    case 'kill':
      return `kill process ${action.pid}`;
  }
}

/** For what arrives as JSON. */
export function isCleanupAction(value: unknown): value is CleanupAction {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, argv, minor, mountPoint, device, backingFile, pid, startTime } = value as Record<
    string,
    unknown
  >;
  switch (kind) {
    case 'run':
      return Array.isArray(argv) && argv.length > 0 && argv.every((word) => typeof word === 'string');
    case 'abort-fuse':
      return isCount(minor) && isOptionalText(mountPoint);
    case 'detach-loop':
      return typeof device === 'string' && isOptionalText(backingFile);
    case 'kill':
      // 0 and 1 would be our own group and init.
      return isCount(pid) && pid > 1 && typeof startTime === 'string';
    default:
      return false;
  }
}

async function killProcess(pid: number, startTime: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  if ((await processStartTime(pid)) !== startTime) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (cause) {
    if ((await processStartTime(pid)) !== startTime) return;
    throw new DiskError('kill', `cannot kill process ${pid}`, { cause });
  }
  while ((await processStartTime(pid)) === startTime) {
    if (performance.now() > deadline) {
      throw new DiskError(
        'kill',
        `process ${pid} is still there ${timeoutMs} ms after SIGKILL: it hangs in the kernel`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, GONE_CHECK_MS));
  }
}

async function isFuse(minor: number, mountPoint: string | undefined): Promise<boolean> {
  if (mountPoint === undefined) return true;
  const mounts = await listMounts();
  return mounts.some((mount) => mount.major === 0 && mount.minor === minor && mount.path === mountPoint);
}

async function isLoop(device: string, backingFile: string | undefined): Promise<boolean> {
  if (backingFile === undefined) return true;
  const loops = await listLoops();
  return loops.some((loop) => loop.path === device && loop.backingFile === backingFile);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isOptionalText(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
