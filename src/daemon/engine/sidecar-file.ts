/** The third copy of a resource's metadata: `<stateDir>/resources/<name>.meta`. */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DiskError } from '../../model/errors.ts';
import type { SidecarPort } from '../../replication/ports.ts';

/** More than any copy has; a larger file is none of ours. */
const MAX_BYTES = 64 * 1024;

export function sidecarFile(stateDir: string, resource: string): SidecarPort {
  // hast.conf allows `/` in names.
  const path = join(stateDir, 'resources', `${encodeURIComponent(resource)}.meta`);
  let last: Promise<void> = Promise.resolve();
  return {
    async load() {
      try {
        const content = await readFile(path);
        return content.length > MAX_BYTES ? null : content;
      } catch (cause) {
        if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null;
        throw new DiskError('sidecar-read', `${path} cannot be read: check its permissions`, { cause });
      }
    },
    store(content) {
      // One after the other: the last one given must be the one that stays.
      const next = last.then(() => replaceDurably(path, content));
      last = next.catch(() => undefined);
      return next;
    },
  };
}

async function replaceDurably(path: string, content: Buffer): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new DiskError('sidecar-write', `${path} cannot be written: is the state directory's disk full?`, {
      cause,
    });
  }
}
