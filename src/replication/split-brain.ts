/**
 * Who copies to whom when two disks meet, decided by the secondary: by histories between
 * hastate nodes, by hastd's two counters otherwise.
 * @see hast.md section 5 (table), SAFETY D5
 */
import { compareHistories, NO_ID } from '../model/record.ts';
import type { DiskState, Generations } from '../model/record.ts';

export interface Counters {
  readonly local: bigint;
  readonly remote: bigint;
}

export type MeetingVerdict =
  /** `full`: every extent, else the union of both maps. */
  | { readonly kind: 'sync'; readonly source: 'primary' | 'secondary'; readonly full: boolean }
  | { readonly kind: 'split-brain' }
  | { readonly kind: 'refuse'; readonly message: string };

export const SPLIT_BRAIN = 'Split-brain condition!';
export const NEITHER_COMPLETE =
  'Neither disk is complete: a resync stopped half way on the side that should be the source.';

const SAME_SIZE = "Run 'hastate create' with the same -m, -e and --align on both.";

export interface Sizes {
  /** Bytes; null when it was not said. */
  readonly datasize: number | null;
  readonly extentsize: number | null;
}

/** Two disks of other sizes are never met, in hastd's words and ours. `theirs` may say nothing. */
export function sizeMismatch(ours: Sizes, theirs: Sizes): string | null {
  const differ = (what: string, here: number | null, there: number | null): string =>
    `${what} size differs between nodes (local=${here}, remote=${there}).`;
  if (theirs.datasize !== null && theirs.datasize !== ours.datasize)
    return `${differ('Data', ours.datasize, theirs.datasize)} ${SAME_SIZE}`;
  if (theirs.extentsize !== null && theirs.extentsize !== ours.extentsize)
    return differ('Extent', ours.extentsize, theirs.extentsize);
  return null;
}

const from = (source: 'primary' | 'secondary', full = false): MeetingVerdict => ({
  kind: 'sync',
  source,
  full,
});

/** hastd's table: the secondary's own counters against those the primary sent. */
export function decideByCounters(secondary: Counters, primary: Counters): MeetingVerdict {
  const ours = order(secondary.local, primary.remote);
  const theirs = order(secondary.remote, primary.local);
  if (ours > 0 && theirs === 0) return from('secondary');
  if (ours === 0 && theirs === 0) return from('primary');
  if (ours === 0 && theirs < 0) return from('primary');
  if (ours > 0 && theirs < 0) return { kind: 'split-brain' };
  if (ours > 0 && theirs > 0) return from('secondary', true);
  return from('primary', true);
}

export interface History {
  readonly generations: Generations;
  readonly state: DiskState;
}

/** Null when one side has no history: then the counters decide. */
export function decideByHistory(secondary: History, primary: History): MeetingVerdict | null {
  if (secondary.generations.current === NO_ID || primary.generations.current === NO_ID) return null;
  const primaryUsable = primary.state !== 'inconsistent';
  const secondaryUsable = secondary.state !== 'inconsistent';
  switch (compareHistories(secondary.generations, primary.generations)) {
    case 'same':
      if (primaryUsable) return from('primary');
      return secondaryUsable ? from('secondary') : noGoodCopy();
    case 'weAreBehind':
      return primaryUsable ? from('primary') : noGoodCopy();
    case 'theyAreBehind':
      return secondaryUsable ? from('secondary') : noGoodCopy();
    case 'diverged':
      return { kind: 'split-brain' };
    default:
      return {
        kind: 'refuse',
        message:
          `No common history (primary=${primary.generations.current}, secondary=${secondary.generations.current}): ` +
          'create one of the two disks anew to have it copied in full.',
      };
  }
}

function noGoodCopy(): MeetingVerdict {
  return { kind: 'refuse', message: NEITHER_COMPLETE };
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
