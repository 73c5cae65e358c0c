/**
 * The durable record of one resource: who holds the authority to write, which
 * history the data belongs to, and who has all of it. Pure; stored by
 * src/replication, judged by decision.ts.
 * @see SAFETY "Words", A3, B2-B4, D4, D5
 */
import type { NodeName } from './roles.ts';

/** Equal numbers with different ids are a split-brain. `id` is 16 hex digits. */
export interface Epoch {
  readonly number: number;
  readonly id: string;
}

/** Ids of a disk's data history, 16 hex digits each; NO_GENERATION where there is none. */
export interface Generations {
  readonly current: string;
  /** The history that `current` forked from: what an absent peer still has. */
  readonly previous: string;
}

/**
 * What a disk is by itself. `virgin`: never was part of a handshake or a promotion.
 * `clean`: holds everything it ever acknowledged. `outdated`: somebody else may have gone on alone.
 * `inconsistent`: a resync target half way, unusable until the resync ends.
 */
export type DiskState = 'virgin' | 'clean' | 'outdated' | 'inconsistent';

export interface ResourceRecord {
  readonly epoch: Epoch;
  readonly generations: Generations;
  readonly state: DiskState;
  /** Who was primary in this epoch, as far as this disk knows. */
  readonly primary: NodeName | null;
  /** Nodes whose disk has every acknowledged write of `generations.current`. */
  readonly inSync: readonly NodeName[];
  /** D4: this node handed the epoch over and has not yet met its successor. */
  readonly released: boolean;
}

export type Freshness =
  | { readonly kind: 'inSync' }
  | { readonly kind: 'behind'; readonly extents: number }
  | { readonly kind: 'inconsistent' }
  | { readonly kind: 'outdated' }
  | { readonly kind: 'unknown'; readonly why: string };

export const NO_ID = '0000000000000000';
export const NO_EPOCH: Epoch = { number: 0, id: NO_ID };

export const VIRGIN_RECORD: ResourceRecord = {
  epoch: NO_EPOCH,
  generations: { current: NO_ID, previous: NO_ID },
  state: 'virgin',
  primary: null,
  inSync: [],
  released: false,
};

export type EpochOrder = 'same' | 'older' | 'newer' | 'clash';

/** How `theirs` stands to `ours`. `clash`: two primaries were made apart from each other. */
export function compareEpochs(ours: Epoch, theirs: Epoch): EpochOrder {
  if (theirs.number !== ours.number) return theirs.number > ours.number ? 'newer' : 'older';
  return theirs.id === ours.id ? 'same' : 'clash';
}

export type HistoryRelation =
  /** Same history: what differs is in the two activemaps. */
  | 'same'
  /** The other disk lacks what we wrote since it left; our activemap knows what. */
  | 'theyAreBehind'
  /** We lack what the other side wrote since we left; its activemap knows what. */
  | 'weAreBehind'
  /** Both went on from a common history: split-brain. */
  | 'diverged'
  /** The other disk has no history at all: everything must be copied to it. */
  | 'theyAreVirgin'
  | 'weAreVirgin'
  | 'bothVirgin'
  /** No common history is known: refuse, or copy everything on an operator's word. */
  | 'unrelated';

/** Compares two disks by their generations, as DRBD compares its UUIDs. @see SAFETY D5, hast.md 13.10 */
export function compareHistories(ours: Generations, theirs: Generations): HistoryRelation {
  if (ours.current === NO_ID) return theirs.current === NO_ID ? 'bothVirgin' : 'weAreVirgin';
  if (theirs.current === NO_ID) return 'theyAreVirgin';
  if (ours.current === theirs.current) return 'same';
  if (ours.previous === theirs.current) return 'theyAreBehind';
  if (theirs.previous === ours.current) return 'weAreBehind';
  if (ours.previous !== NO_ID && ours.previous === theirs.previous) return 'diverged';
  return 'unrelated';
}

/** B7: the record of a node that becomes primary in a new epoch. */
export function promoted(
  record: ResourceRecord,
  self: NodeName,
  epoch: Epoch,
  inSync: readonly NodeName[],
): ResourceRecord {
  const alone = inSync.length === 1;
  const wasShared =
    record.state === 'virgin' || record.primary !== self || record.inSync.some((name) => name !== self);
  return {
    epoch,
    generations:
      alone && wasShared
        ? forked(record.generations, epoch.id)
        : firstGeneration(record.generations, epoch.id),
    state: 'clean',
    primary: self,
    inSync: [...inSync],
    released: false,
  };
}

/**
 * A3: the primary goes on without a peer that was in sync. A new history starts here,
 * so that a peer which also went on alone is recognised.
 * @param generation 16 hex digits, random
 */
export function wentAlone(record: ResourceRecord, self: NodeName, generation: string): ResourceRecord {
  if (record.inSync.every((name) => name === self)) return record;
  return { ...record, generations: forked(record.generations, generation), inSync: [self] };
}

/** The primary's record when its own disk lacks what only the peer has. */
export function lost(record: ResourceRecord, self: NodeName): ResourceRecord {
  return { ...record, state: 'inconsistent', inSync: record.inSync.filter((name) => name !== self) };
}

/** The primary's record when the peer has everything again. */
export function joined(record: ResourceRecord, peer: NodeName): ResourceRecord {
  return record.inSync.includes(peer) ? record : { ...record, inSync: [...record.inSync, peer].sort() };
}

/** The secondary's record when the primary (whose record is `theirs`) says that it has everything. */
export function adopted(theirs: ResourceRecord): ResourceRecord {
  return { ...theirs, state: 'clean', released: false };
}

function forked(generations: Generations, id: string): Generations {
  return { current: id, previous: generations.current };
}

function firstGeneration(generations: Generations, id: string): Generations {
  return generations.current === NO_ID ? { current: id, previous: NO_ID } : generations;
}

/**
 * SAFETY B4: this disk has everything by its own durable word. Only if nothing made that word
 * doubtful (E2) or the disk worse than it says.
 */
export function ownsAlone(record: ResourceRecord, freshness: Freshness, self: NodeName): boolean {
  return (
    freshness.kind === 'inSync' &&
    record.state === 'clean' &&
    record.primary === self &&
    record.inSync.length === 1 &&
    record.inSync[0] === self
  );
}

/**
 * What our disk is worth when two records were compared while nobody was primary.
 * Both records are of the nodes' current boots. @see SAFETY B4
 */
export function freshnessByExchange(ours: ResourceRecord, theirs: ResourceRecord, self: NodeName): Freshness {
  if (ours.state === 'inconsistent') return { kind: 'inconsistent' };
  if (ours.state === 'outdated') return { kind: 'outdated' };
  const relation = compareHistories(ours.generations, theirs.generations);
  switch (relation) {
    case 'same':
      return ours.inSync.includes(self) && theirs.inSync.includes(self)
        ? { kind: 'inSync' }
        : { kind: 'unknown', why: 'the other record does not call this disk in sync' };
    case 'theyAreBehind':
    case 'theyAreVirgin':
      return ours.inSync.includes(self)
        ? { kind: 'inSync' }
        : { kind: 'unknown', why: 'its own record does not call it in sync' };
    case 'weAreBehind':
      return { kind: 'outdated' };
    case 'bothVirgin':
    case 'weAreVirgin':
      return { kind: 'unknown', why: 'it was never used' };
    case 'diverged':
      return { kind: 'unknown', why: 'split-brain: both nodes wrote apart from each other' };
    case 'unrelated':
      return { kind: 'unknown', why: 'the two disks share no history' };
  }
}

/**
 * A2: an async secondary may lack what its primary acknowledged. The primary of the latest epoch lacks nothing
 * of it, also after a restart.
 * @param theirs the peer's record, null while it is not known
 */
export function wasLatestPrimary(
  ours: ResourceRecord,
  theirs: ResourceRecord | null,
  self: NodeName,
): boolean {
  if (ours.primary !== self || ours.released) return false;
  const order = theirs === null ? 'same' : compareEpochs(ours.epoch, theirs.epoch);
  return order === 'same' || order === 'older';
}
