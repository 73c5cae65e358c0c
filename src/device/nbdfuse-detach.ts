/**
 * Takes an nbdfuse attachment down: politely while everybody answers, by FUSE abort as soon as
 * somebody does not.
 * @see SAFETY C3, D1
 */
import { rm } from 'node:fs/promises';
import { DiskError, describeError } from '../model/errors.ts';
import { UNMOUNT_TIMEOUT_MS } from './attach.ts';
import { performCleanup } from './cleanup.ts';
import { removeDeviceName } from './device-name.ts';
import { asLeftovers, findAttachment, holdersOf, type Found, type Places } from './nbdfuse-found.ts';
import type { Holder } from './processes.ts';
import { runCommand } from './run-command.ts';

const STEP_TIMEOUT_MS = 2000;
/** Loop devices and FUSE mounts go away a little after they were told to. */
const GONE_TIMEOUT_MS = 2000;
const GONE_CHECK_MS = 20;

/** @throws DiskError `device-held`; the signal's reason */
export async function detachNbdfuse(
  places: Places,
  signal: AbortSignal,
  unmountTimeoutMs: number = UNMOUNT_TIMEOUT_MS,
): Promise<void> {
  await removeDeviceName(places.nameRecord);
  const found = await findAttachment(places);
  const holders = await holdersOf(found);
  const trouble: string[] = [];
  if (!isGone(found) && !(await politely(places, found, trouble, signal, unmountTimeoutMs))) {
    await forcibly(places, found, trouble, signal);
    const rest = await findAttachment(places);
    if (!isGone(rest)) throw await heldError(places, rest, holders, trouble);
  }
  await rm(places.directory, { recursive: true, force: true });
}

/** @returns false as soon as a step fails: the next one would wait for the same thing */
async function politely(
  places: Places,
  found: Found,
  trouble: string[],
  signal: AbortSignal,
  unmountTimeoutMs: number,
): Promise<boolean> {
  const steps = [
    ...unmounting(found, unmountTimeoutMs, signal),
    ...found.loops.map(
      (loop) => () => performCleanup({ kind: 'detach-loop', device: loop.path }, STEP_TIMEOUT_MS),
    ),
  ];
  for (const step of steps) if (!(await succeeds(step, trouble, signal))) return false;
  return unmountFuse(places, trouble, signal);
}

/** Goes on whatever fails: each step may free the next. */
async function forcibly(places: Places, found: Found, trouble: string[], signal: AbortSignal): Promise<void> {
  const steps = [
    ...found.fuse.map(
      ({ minor }) =>
        () =>
          performCleanup({ kind: 'abort-fuse', minor, mountPoint: places.mountPoint }, STEP_TIMEOUT_MS),
    ),
    ...found.processes.map((id) => () => performCleanup({ kind: 'kill', ...id }, STEP_TIMEOUT_MS)),
    ...unmounting(await findAttachment(places), STEP_TIMEOUT_MS, signal),
    ...found.loops.map(
      (loop) => () =>
        performCleanup({ kind: 'detach-loop', device: loop.path, backingFile: places.file }, STEP_TIMEOUT_MS),
    ),
  ];
  for (const step of steps) await succeeds(step, trouble, signal);
  await unmountFuse(places, trouble, signal);
}

function unmounting(found: Found, timeoutMs: number, signal: AbortSignal): (() => Promise<unknown>)[] {
  // The last mount may stand on an earlier one. Without canonicalizing: that would look into what may hang.
  return [...found.mounts]
    .reverse()
    .map((mount) => () => runCommand(['umount', '--no-canonicalize', mount.path], { timeoutMs, signal }));
}

/** Detaching a loop device ends after losetup did, so the first attempts may find the mount busy. */
async function unmountFuse(places: Places, trouble: string[], signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + GONE_TIMEOUT_MS;
  let failure: unknown = null;
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    const found = await findAttachment(places);
    if (isGone(found)) return true;
    if (found.fuse.length > 0 && found.loops.length === 0) {
      const argv = ['fusermount3', '-u', places.mountPoint];
      failure = await runCommand(argv, { timeoutMs: STEP_TIMEOUT_MS, signal }).then(
        () => null,
        (error: unknown) => error,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, GONE_CHECK_MS));
  }
  if (failure !== null) trouble.push(describeError(failure));
  return false;
}

async function succeeds(
  step: () => Promise<unknown>,
  trouble: string[],
  signal: AbortSignal,
): Promise<boolean> {
  signal.throwIfAborted();
  try {
    await step();
    return true;
  } catch (error) {
    signal.throwIfAborted();
    trouble.push(describeError(error));
    return false;
  }
}

function isGone(found: Found): boolean {
  return found.loops.length === 0 && found.fuse.length === 0 && found.processes.length === 0;
}

async function heldError(
  places: Places,
  rest: Found,
  holdersBefore: readonly Holder[],
  trouble: readonly string[],
): Promise<DiskError> {
  const left = asLeftovers(places.resource, rest).map(({ kind, what }) => `${kind} ${what}`);
  const now = await holdersOf(rest);
  const holders = (now.length > 0 ? now : holdersBefore).map(
    ({ name, pid, path }) => `${name} (pid ${pid}) has ${path}`,
  );
  const stacked = rest.loops.flatMap((loop) => loop.holders.map((name) => `${name} stands on ${loop.path}`));
  const why = [...holders, ...stacked].join('; ') || 'no process found: look into other mount namespaces';
  return new DiskError(
    'device-held',
    `the device of ${places.resource} is cut off from its data but not gone: ${left.join(', ')}; ${why}. ` +
      `Stop what holds it, then detach again. Tried: ${trouble.join('; ')}`,
  );
}
