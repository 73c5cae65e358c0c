/** The third copy of a resource's metadata: `<stateDir>/resources/<name>.meta`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskError } from '../../model/errors.ts';
import type { SidecarPort } from '../../replication/ports.ts';
import { replaceDurably } from './durable-file.ts';

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
      const next = last.then(() => storeAt(path, content));
      last = next.catch(() => undefined);
      return next;
    },
  };
}

async function storeAt(path: string, content: Buffer): Promise<void> {
  try {
    await replaceDurably(path, content);
  } catch (cause) {
    throw new DiskError('sidecar-write', `${path} cannot be written: is the state directory's disk full?`, {
      cause,
    });
  }
}
