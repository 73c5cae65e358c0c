/**
 * Watches a hook directory with its `notify.d` and `fence.d`, and tells what changed there. What is told is
 * the difference between two looks at the files; what the system says of them is only a reason to look.
 */
import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { watch, type FSWatcher } from 'chokidar';

import { discoverHooks, isHookName, type HookDirectory } from './discover.ts';

export interface HookChange {
  /** Relative to the directory, e.g. `notify.d/10-mail`. */
  readonly name: string;
  readonly what: 'new' | 'changed' | 'removed';
  /** Why it may not run, or null. */
  readonly refused: string | null;
}

export interface HookWatchOptions {
  readonly dir: string;
  /** At most `MAX_TOLD` changes, and how many there were beside them. */
  readonly onChange: (changes: readonly HookChange[], more: number) => void;
  /** Something is not watched, or could not be looked at. */
  readonly onError: (error: unknown) => void;
}

export interface HookWatch {
  /** The first look is over and changes are seen from now on. */
  readonly ready: Promise<void>;
  /** Resolves when nothing is told any more. */
  close(): Promise<void>;
}

export const MAX_TOLD = 20;
/** Each takes a watch of the system's, of which there are not many. */
const MAX_WATCHED = 512;
/** An editor writes a file in several steps. ms */
const SETTLE_MS = 200;
const SUB_DIRECTORIES = ['', 'notify.d', 'fence.d'];

/** What is known of a file: its look and whether it may run. */
interface Seen {
  readonly look: string;
  readonly refused: string | null;
}

export function watchHooks({ dir, onChange, onError }: HookWatchOptions): HookWatch {
  let known: ReadonlyMap<string, Seen> = new Map();
  let timer: NodeJS.Timeout | null = null;
  let looking: Promise<void> = Promise.resolve();
  let closed = false;

  const look = async (): Promise<void> => {
    const before = known;
    known = await lookAt(dir);
    const changes = differences(before, known);
    if (changes.length > 0 && !closed)
      onChange(changes.slice(0, MAX_TOLD), Math.max(0, changes.length - MAX_TOLD));
  };
  const failed = (error: unknown): void => {
    if (!closed) onError(error);
  };
  const lookSoon = (): void => {
    if (closed || timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      looking = looking.then(look).catch(failed);
    }, SETTLE_MS);
  };

  const watcher = watch(dir, { depth: 1, ignoreInitial: true, ignored: mostly(dir) });
  watcher.on('all', lookSoon).on('raw', lookSoon).on('error', failed);
  const ready = Promise.all([
    lookAt(dir).then((seen) => {
      known = seen;
    }, failed),
    isReady(watcher),
  ]).then(lookSoon);
  return {
    ready,
    close: async () => {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      await watcher.close();
      await looking;
    },
  };
}

function isReady(watcher: FSWatcher): Promise<void> {
  return new Promise((resolve) => watcher.once('ready', resolve));
}

/** Everything but the directories, hooks and what they source, and of these not more than the system can bear. */
function mostly(dir: string): (path: string) => boolean {
  const watched = new Set<string>();
  return (path) => {
    if (watched.has(path)) return false;
    const name = basename(path);
    const inside = [dir, join(dir, 'notify.d'), join(dir, 'fence.d')];
    // A directory that is not there yet is waited for in the one above it.
    const onTheWay = inside.includes(path) || dir.startsWith(`${path}/`);
    const concerns =
      onTheWay || (inside.includes(dirname(path)) && (isHookName(name) || name.endsWith('.sh')));
    if (!concerns || watched.size >= MAX_WATCHED) return true;
    watched.add(path);
    return false;
  };
}

async function lookAt(dir: string): Promise<Map<string, Seen>> {
  const found = await discoverHooks(dir);
  const seen = new Map<string, Seen>();
  for (const sub of SUB_DIRECTORIES) {
    const names = await readdir(join(dir, sub)).catch((): string[] => []);
    for (const name of names) {
      if (!isHookName(name) && !name.endsWith('.sh')) continue;
      const path = join(dir, sub, name);
      seen.set(join(sub, name), { look: await lookOf(path), refused: reason(found, path) });
    }
  }
  return seen;
}

/** Of a link, where it leads to: that is what runs. */
async function lookOf(path: string): Promise<string> {
  const stats = await stat(path).catch(() => lstat(path).catch(() => null));
  if (stats === null) return 'gone';
  const { mode, uid, gid, ino, size, mtimeMs } = stats;
  return [mode, uid, gid, ino, size, mtimeMs].join(' ');
}

function reason({ refused }: HookDirectory, path: string): string | null {
  return refused.find((each) => each.path === path)?.reason ?? null;
}

function differences(before: ReadonlyMap<string, Seen>, after: ReadonlyMap<string, Seen>): HookChange[] {
  const changes: HookChange[] = [];
  for (const [name, { look, refused }] of after) {
    const old = before.get(name);
    if (old === undefined) changes.push({ name, what: 'new', refused });
    else if (old.look !== look || old.refused !== refused) changes.push({ name, what: 'changed', refused });
  }
  for (const name of before.keys())
    if (!after.has(name)) changes.push({ name, what: 'removed', refused: null });
  return changes.sort((a, b) => (a.name < b.name ? -1 : 1));
}
