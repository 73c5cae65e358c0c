/**
 * Takes an nbdfuse attachment down: politely while everybody answers, by FUSE abort as soon as
 * somebody does not.
 * @see SAFETY C3, D1
 */
import { readFile, rm } from 'node:fs/promises';
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
const GONE_CHECK_MS = 5;
const LOG_TAIL_CHARACTERS = 1000;

/** @returns what did not go politely. @throws DiskError `device-held`; the signal's reason */
export async function detachNbdfuse(
  places: Places,
  signal: AbortSignal,
  unmountTimeoutMs: number = UNMOUNT_TIMEOUT_MS,
): Promise<readonly string[]> {
  await removeDeviceName(places.nameRecord);
  const found = await findAttachment(places);
  const trouble: string[] = [];
  if (!isGone(found) && found.processes.length === 0) trouble.push(await howItEnded(places));
  if (!isGone(found) && !(await politely(places, found, trouble, signal, unmountTimeoutMs))) {
    // Afterwards nobody can tell any more.
    const holders = await holdersOf(await findAttachment(places));
    await forcibly(places, found, trouble, signal);
    const rest = await findAttachment(places);
    if (!isGone(rest)) throw await heldError(places, rest, holders, trouble);
  }
  await rm(places.directory, { recursive: true, force: true });
  return trouble;
}

/** @returns false as soon as a step fails: the next one would wait for the same thing */
async function politely(
  places: Places,
  found: Found,
  trouble: string[],
  signal: AbortSignal,
  unmountTimeoutMs: number,
): Promise<boolean> {
  for (const step of [...unmounting(found, unmountTimeoutMs, signal), ...detachingLoops(found)]) {
    if (!(await succeeds(step, trouble, signal))) return false;
  }
  // Detaching a loop device ends after losetup did, so the first attempts may find the mount busy.
  const deadline = performance.now() + GONE_TIMEOUT_MS;
  let latest: string[] = [];
  while (performance.now() < deadline) {
    const rest = await findAttachment(places);
    if (isGone(rest)) return true;
    latest = [];
    if (rest.loops.length === 0 && rest.fuse.length > 0) {
      await succeeds(() => unmountFuse(places, signal), latest, signal);
    }
    await new Promise((resolve) => setTimeout(resolve, GONE_CHECK_MS));
  }
  trouble.push(...latest);
  return false;
}

/** Goes on whatever fails: each step may free the next, and who waited for the device needs a moment to let go. */
async function forcibly(places: Places, found: Found, trouble: string[], signal: AbortSignal): Promise<void> {
  const { mountPoint } = places;
  const cut = [
    ...found.fuse.map(({ minor }) => ({ kind: 'abort-fuse' as const, minor, mountPoint })),
    ...found.processes.map((id) => ({ kind: 'kill' as const, ...id })),
  ];
  for (const action of cut) {
    await succeeds(() => performCleanup(action, STEP_TIMEOUT_MS), trouble, signal);
  }
  const deadline = performance.now() + GONE_TIMEOUT_MS;
  let latest: string[] = [];
  for (;;) {
    const rest = await findAttachment(places);
    if (isGone(rest)) return;
    if (performance.now() >= deadline) break;
    latest = [];
    for (const step of [...unmounting(rest, STEP_TIMEOUT_MS, signal), ...detachingLoops(rest)]) {
      await succeeds(step, latest, signal);
    }
    if (rest.loops.length === 0) await succeeds(() => unmountFuse(places, signal), latest, signal);
    await new Promise((resolve) => setTimeout(resolve, GONE_CHECK_MS));
  }
  trouble.push(...latest);
}

function unmounting(found: Found, timeoutMs: number, signal: AbortSignal): (() => Promise<unknown>)[] {
  // The last mount may stand on an earlier one. Without canonicalizing: that would look into what may hang.
  return [...found.mounts]
    .reverse()
    .map((mount) => () => runCommand(['umount', '--no-canonicalize', mount.path], { timeoutMs, signal }));
}

function detachingLoops({ loops }: Found): (() => Promise<void>)[] {
  return loops.map(({ path: device, backingFile }) => {
    return () => performCleanup({ kind: 'detach-loop', device, backingFile }, STEP_TIMEOUT_MS);
  });
}

function unmountFuse(places: Places, signal: AbortSignal): Promise<string> {
  return runCommand(['fusermount3', '-u', places.mountPoint], { timeoutMs: STEP_TIMEOUT_MS, signal });
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

async function howItEnded({ log }: Places): Promise<string> {
  const said = (await readFile(log, 'utf8').catch(() => '')).slice(-LOG_TAIL_CHARACTERS).trim();
  return `its nbdfuse had ended already${said === '' ? '' : `: ${said}`}`;
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
