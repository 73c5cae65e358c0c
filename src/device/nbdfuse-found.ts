/**
 * What the system shows of one resource's nbdfuse attachment. Nothing is remembered: the same
 * answer in every life of the daemon.
 */
import { join } from 'node:path';
import type { Leftover } from './attach.ts';
import { listLoops, listMounts, mountsOf, type LoopDevice, type Mount } from './mounts.ts';
import { findHolders, findProcesses, type Holder, type ProcessId } from './processes.ts';

export const NBDFUSE = 'nbdfuse';

export interface Places {
  readonly resource: string;
  readonly directory: string;
  readonly mountPoint: string;
  /** The file that nbdfuse shows, on which the loop device stands. */
  readonly file: string;
  readonly pidFile: string;
  readonly log: string;
  readonly nameRecord: string;
}

export interface Found {
  /** Mounted from the loop devices. */
  readonly mounts: readonly Mount[];
  readonly loops: readonly LoopDevice[];
  readonly fuse: readonly Mount[];
  readonly processes: readonly ProcessId[];
}

/** @param root canonical: the kernel shows paths without symbolic links */
export function placesOf(root: string, directoryName: string): Places {
  const directory = join(root, directoryName);
  return {
    resource: decodeURIComponent(directoryName),
    directory,
    mountPoint: join(directory, 'mnt'),
    file: join(directory, 'mnt', 'nbd'),
    pidFile: join(directory, 'nbdfuse.pid'),
    log: join(directory, 'nbdfuse.log'),
    nameRecord: join(directory, 'name.json'),
  };
}

export async function findAttachment(places: Places): Promise<Found> {
  const [allMounts, allLoops, processes] = await Promise.all([
    listMounts(),
    listLoops(),
    findProcesses(NBDFUSE, places.file),
  ]);
  const loops = allLoops.filter((loop) => loop.backingFile === places.file);
  return {
    loops,
    mounts: loops.flatMap((loop) => mountsOf(loop, allMounts)),
    fuse: allMounts.filter((mount) => mount.path === places.mountPoint),
    processes,
  };
}

export function asLeftovers(resource: string, found: Found): Leftover[] {
  return [
    ...found.mounts.map((mount) => ({ resource, kind: 'mount' as const, what: mount.path })),
    ...found.loops.map((loop) => ({ resource, kind: 'loop' as const, what: loop.path })),
    ...found.fuse.map((mount) => ({ resource, kind: 'fuse' as const, what: mount.path })),
    ...found.processes.map(({ pid }) => ({ resource, kind: 'process' as const, what: String(pid) })),
  ];
}

export function holdersOf(found: Found): Promise<Holder[]> {
  return findHolders([...found.mounts.map((mount) => mount.path), ...found.loops.map((loop) => loop.path)]);
}
