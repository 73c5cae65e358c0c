/**
 * What the local disk is worth, and how that is made certain.
 * @see SAFETY A6, B4, E2
 */
import { DiskError, EngineError } from '../model/errors.ts';
import { lost, VIRGIN_RECORD } from '../model/record.ts';
import type { Epoch, Freshness } from '../model/record.ts';
import { ActiveMap } from './activemap.ts';
import type { ActiveMapSetup } from './activemap.ts';
import type { EngineCore } from './core.ts';
import type { MetadataStore } from './metadata-store.ts';
import { refuseOld } from './third-copy.ts';

/** What the disk's map says, written from now on with `write`. */
export function openMap(
  store: MetadataStore,
  sectorBytes: number,
  write: ActiveMapSetup['store'],
): ActiveMap {
  const { meta, imageBytes } = store;
  const extents = Math.ceil(meta.datasize / meta.extentsize);
  const map = new ActiveMap({ extents, keepdirty: meta.keepdirty, imageBytes, sectorBytes, store: write });
  map.load(store.image);
  if (store.canaryAt !== null) map.setTail(store.canaryAt, store.canary);
  return map;
}

/** B4: only a sole owner knows by itself that nobody has more. */
export function freshnessAtStart(core: EngineCore): Freshness {
  const { store, self } = core;
  const { record, doubt } = store;
  if (doubt !== null) return { kind: 'unknown', why: doubt };
  if (record.state === 'outdated' || record.state === 'inconsistent') return { kind: record.state };
  if (record.state === 'virgin') return { kind: 'unknown', why: 'it never met a primary' };
  if (record.released) return { kind: 'unknown', why: 'it handed its epoch over' };
  const behind = mayLack(core);
  if (behind !== null) return behind;
  if (record.primary === self && record.inSync.length === 1 && record.inSync[0] === self)
    return { kind: 'inSync' };
  return { kind: 'unknown', why: 'no handshake since it was opened' };
}

/** What the records of both nodes say of this disk, unless it is worse by itself. */
export function freshnessAsSaid(core: EngineCore, said: Freshness): Freshness {
  if (said.kind !== 'inSync') return said;
  const { doubt } = core.store;
  // E2: records say nothing of what was written past them.
  return doubt === null ? (mayLack(core) ?? said) : { kind: 'unknown', why: doubt };
}

/** A former secondary's bits: what it wrote and had not flushed may be gone, which no record knows. */
function mayLack({ store, map, self }: EngineCore): Freshness | null {
  if (store.record.primary === self || map.dirtyCount === 0) return null;
  return { kind: 'behind', extents: map.dirtyCount };
}

/** A former secondary rests: what it wrote is made durable and leaves its map. Rejects with DiskError `map-write`. */
export async function rest(core: EngineCore): Promise<void> {
  if (core.store.record.primary === core.self) return;
  if ((await flushLocal(core)) !== null) return;
  core.map.forgetKept();
  await commitMap(core.map);
}

/**
 * B2.
 * @param vouched E1: outdated is what every secondary of a plain hastd is, and an operator knows better
 * @throws EngineError `not-in-sync` for a disk that is known to lack data
 */
export function refuseIncomplete({ store, setup, freshness }: EngineCore, vouched = false): void {
  // What was just found out may not be in the record yet.
  const found = freshness.kind === 'outdated' || freshness.kind === 'inconsistent';
  const state = found ? freshness.kind : store.record.state;
  if (state !== 'outdated' && state !== 'inconsistent') return;
  if (vouched && state === 'outdated' && store.record.state !== 'inconsistent') return;
  const { name } = setup.resource;
  throw new EngineError(
    'not-in-sync',
    `${name} is ${state} and is not promoted by itself: let it synchronize, or decide with 'hastate promote --force'`,
  );
}

/** E2: the map was overwritten or is old, so only a full copy makes this disk whole. Rejects with DiskError. */
export async function distrust(core: EngineCore): Promise<void> {
  await markEverything(core.map);
  await core.save(({ record }) => ({ record, givenUp: false }));
}

/** D5: what this disk holds is given up. It keeps its identity and has no history. Rejects with DiskError. */
export async function discardCopy(core: EngineCore): Promise<void> {
  core.freshness = { kind: 'outdated' };
  core.peerProblem = null;
  await markEverything(core.map);
  await core.save(({ meta }) => ({
    record: { ...VIRGIN_RECORD, state: 'outdated' },
    meta: { ...meta, localcnt: 0n, remotecnt: 0n },
  }));
  const { name } = core.setup.resource;
  core.report(
    'record',
    'warn',
    `${name}: this copy was given up, everything will be copied from the primary.`,
  );
}

/**
 * A3, B3: the primary of `epoch` goes on without this disk. Not as primary.
 * @param leave ends its link
 * @throws EngineError `epoch-old`; DiskError
 */
export async function outdate(core: EngineCore, epoch: Epoch, leave: () => void): Promise<void> {
  const { name } = core.setup.resource;
  refuseOld(name, core.store.record.epoch, epoch);
  leave();
  core.freshness = { kind: core.store.record.state === 'inconsistent' ? 'inconsistent' : 'outdated' };
  await core.save(({ record }) =>
    record.state === 'inconsistent' || record.state === 'outdated'
      ? null
      : { record: { ...record, state: 'outdated' } },
  );
  core.report('record', 'warn', `${name} is outdated: the primary goes on without it.`);
}

/**
 * hast.md 13.2: as primary, only the peer has everything from now on, unless all was copied back meanwhile. Rejects
 * with DiskError.
 */
export async function recordStale(core: EngineCore): Promise<void> {
  const { map, store, self } = core;
  const before = store.record.state;
  await core.save(({ record }) => {
    const told = record.state === 'inconsistent' && !record.inSync.includes(self);
    if (told || map.staleCount + map.suspectCount === 0) return null;
    return { record: lost(record, self) };
  });
  if (before !== 'inconsistent' && store.record.state === 'inconsistent')
    core.report('record', 'warn', 'This disk lacks data that only the peer has.');
}

/**
 * As recordStale(), of every extent and past a map that cannot be written; no more is asked of this disk.
 * @param peerHasAll looked at when it is about to be written
 * @returns true when it is durable
 */
export async function recordGivenUp(core: EngineCore, peerHasAll: () => boolean): Promise<boolean> {
  await core
    .save(({ record }) => (peerHasAll() ? { record: lost(record, core.self), givenUp: true } : null))
    .catch(() => undefined);
  return core.store.givenUp;
}

/** @throws EngineError `disk-given-up`: the disk has to be opened anew before it is anything */
export function refuseGivenUp({ store, setup }: EngineCore): void {
  if (!store.givenUp) return;
  const { name } = setup.resource;
  throw new EngineError(
    'disk-given-up',
    `the local disk of ${name} was given up: mend it, or replace it and run 'hastate create ${name}', then restart the resource`,
  );
}

/** Every extent counts as different, durably. Rejects with DiskError `map-write`. */
export function markEverything(map: ActiveMap): Promise<void> {
  for (let e = 0; e < map.extents; e++) map.markDirty(e);
  return commitMap(map);
}

/** Rejects with DiskError `map-write`. */
export function commitMap(map: ActiveMap): Promise<void> {
  return new Promise((resolve, reject) =>
    map.commit((error) =>
      error === null
        ? resolve()
        : reject(new DiskError('map-write', `the activemap cannot be written: ${error}`)),
    ),
  );
}

/** Everything written so far is durable, or stays marked. @returns the disk's error */
export function flushLocal({ map, ports }: EngineCore): Promise<string | null> {
  return new Promise((resolve) => {
    const round = map.takeUnflushed();
    ports.disk.flush((error) => {
      map.settle(round, error === null ? 'flushed' : 'lost');
      resolve(error);
    });
  });
}
