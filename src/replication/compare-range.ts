/**
 * Do both disks hold the same in a range? Between hastate nodes a digest travels, beside a plain hastd
 * the data. What differs by its digest is read again from both before anybody is told.
 * The caller holds the range, so that no write is half way on one of the two.
 */
import type { Buffer } from 'node:buffer';
import { digest } from '../protocol/checksum.ts';
import { HAST_CMD } from '../protocol/hast-message.ts';
import type { EngineCore } from './core.ts';
import { reportDiskError } from './core.ts';
import type { Link } from './link.ts';

/** Bytes from the start of the user data. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export type Comparison =
  | { readonly kind: 'equal' }
  /** Whole sectors that differ, in order, at least one. */
  | { readonly kind: 'different'; readonly ranges: readonly ByteRange[] }
  /** A disk could not be read, or the link died. */
  | { readonly kind: 'unread'; readonly where: 'here' | 'peer'; readonly error: string };

/** @param local memory of the range's length, at most `link.maxRequest`; holds what the local disk has afterwards */
export function compareRange(
  core: EngineCore,
  link: Link,
  offset: number,
  local: Buffer,
  done: (found: Comparison) => void,
): void {
  if (link.words?.digests !== true) {
    compareData(core, link, offset, local, done);
    return;
  }
  readLocal(core, offset, local, done, () => {
    link.digest(
      offset,
      local.length,
      asker(done, (theirs) => {
        if (theirs.equals(digest(local))) done({ kind: 'equal' });
        else compareData(core, link, offset, local, done);
      }),
    );
  });
}

function compareData(
  core: EngineCore,
  link: Link,
  offset: number,
  local: Buffer,
  done: (found: Comparison) => void,
): void {
  const ours = (): void =>
    link.request(
      HAST_CMD.READ,
      offset,
      local.length,
      null,
      false,
      asker(done, (theirs) => {
        const ranges = theirs.equals(local)
          ? []
          : differing(local, theirs, offset, core.ports.disk.sectorBytes);
        done(ranges.length === 0 ? { kind: 'equal' } : { kind: 'different', ranges });
      }),
    );
  readLocal(core, offset, local, done, ours);
}

function readLocal(
  core: EngineCore,
  offset: number,
  into: Buffer,
  done: (found: Comparison) => void,
  next: () => void,
): void {
  core.ports.disk.read(core.store.meta.offset + offset, into, (error) => {
    if (error === null) {
      next();
      return;
    }
    core.counters.readErrors++;
    reportDiskError(core, 'read', error);
    done({ kind: 'unread', where: 'here', error });
  });
}

function asker(
  done: (found: Comparison) => void,
  take: (data: Buffer) => void,
): Parameters<Link['digest']>[2] {
  return {
    received: () => undefined,
    lost: () => done({ kind: 'unread', where: 'peer', error: 'the data link went down' }),
    answered: (error, data) => {
      if (data === null) done({ kind: 'unread', where: 'peer', error: error ?? 'EIO' });
      else take(data);
    },
  };
}

function differing(ours: Buffer, theirs: Buffer, offset: number, sector: number): ByteRange[] {
  const ranges: { offset: number; length: number }[] = [];
  for (let at = 0; at < ours.length; at += sector) {
    const end = Math.min(at + sector, ours.length);
    if (ours.compare(theirs, at, end, at, end) === 0) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset + at) last.length += end - at;
    else ranges.push({ offset: offset + at, length: end - at });
  }
  return ranges;
}
