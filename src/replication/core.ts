/** What the parts of one resource's engine share. Made by engine.ts, which owns it. */
import type { Epoch, Freshness } from '../model/record.ts';
import type { HastRole, NodeName, ReplicationMode } from '../model/roles.ts';
import type { Timing } from '../model/timing.ts';
import type { ResourceCounters, ResourceQueues, VerifyProgress } from '../protocol/control.ts';
import type { ActiveMap } from './activemap.ts';
import type { DiskStall } from './disk-watch.ts';
import type { EngineEvent, EngineSetup } from './messages.ts';
import type { MetadataStore, StateChange } from './metadata-store.ts';
import type { ClockPort, EnginePorts } from './ports.ts';
import type { RangeLock } from './rangelock.ts';

export type Report = (
  kind: EngineEvent['kind'],
  level: EngineEvent['level'],
  message: string,
  data?: Readonly<Record<string, unknown>>,
) => void;

export type MutableCounters = { -readonly [K in keyof ResourceCounters]: ResourceCounters[K] };

export function noCounters(): MutableCounters {
  return {
    reads: 0,
    writes: 0,
    deletes: 0,
    flushes: 0,
    activemapUpdates: 0,
    readErrors: 0,
    writeErrors: 0,
    deleteErrors: 0,
    flushErrors: 0,
  };
}

/** Of a resource that takes no requests. */
export const NO_QUEUES: ResourceQueues = { local: 0, send: 0, recv: 0, done: 0, idle: 0 };

export interface EngineCore {
  /** Replaced as a whole when `settings` come: not to be kept. */
  setup: EngineSetup;
  readonly ports: EnginePorts;
  readonly self: NodeName;
  /** Null: no other node, or a plain hastd, which is never in a record. */
  readonly namedPeer: NodeName | null;
  readonly store: MetadataStore;
  readonly map: ActiveMap;
  readonly locks: RangeLock;
  readonly counters: MutableCounters;
  readonly report: Report;
  /** Durable metadata update; the canary's place in the map is durable before. Rejects with DiskError. */
  save(change: StateChange): Promise<void>;
  freshness: Freshness;
  diskError: string | null;
  /** The local disk answers nothing. */
  stall: DiskStall | null;
  /** See EngineSnapshot. */
  peerProblem: string | null;
  primaryMode: ReplicationMode | null;
  /** As primary: the peer knows that writes are not waited for (A2). */
  asyncTold: boolean;
  /** The comparison of both disks that runs, or the last one. */
  verify: VerifyRun | null;
}

/** A comparison of both disks. */
export interface VerifyRun {
  readonly running: boolean;
  /** Applications' requests ended, for now. */
  idle(): void;
  interrupted(why: string): void;
  stop(): void;
  /** @param now ms of the clock */
  progress(now: number): VerifyProgress;
}

/** The largest request on the wire: FreeBSD's MAXPHYS. Bytes. */
export const MAXPHYS = 131072;
/** The largest between two hastate nodes that agreed on more than that: a multiple of it. Bytes. */
export const MAX_REQUEST_BYTES = 8 * MAXPHYS;

export function extentsOf(core: EngineCore, offset: number, length: number): [number, number] {
  const size = core.store.meta.extentsize;
  return [Math.floor(offset / size), Math.floor((offset + Math.max(length, 1) - 1) / size)];
}

/** Of numbers up to 2^53, without the remainder of two doubles, which costs ten times as much. */
export function isMultiple(value: number, of: number): boolean {
  return Math.floor(value / of) * of === value;
}

export function namesPeer(core: EngineCore): boolean {
  return core.namedPeer !== null && core.store.record.inSync.includes(core.namedPeer);
}

/** hastd's: a primary that has nothing to say sends something this often; its secondary gives up after twice that. ms. */
export const KEEPALIVE_MS = 10_000;
const WATCH_MS = 1000;

/** Within this time a dead peer is noticed without traffic (hast.md 13.8). ms. */
export function peerTimeoutMs({ timing, resource, peerKind }: EngineSetup, role: HastRole): number {
  if (peerKind === 'hastate') return silenceMs(timing);
  return WATCH_MS + (role === 'primary' ? KEEPALIVE_MS + resource.timeoutMs : 2 * KEEPALIVE_MS);
}

/** A hastate peer that is silent for longer than this is gone. ms. */
export function silenceMs(timing: Timing): number {
  return Math.max(timing.holdMs, timing.heartbeatMs * 5);
}

export function describeEpoch(epoch: Epoch): string {
  return `${epoch.number} (${epoch.id})`;
}

/** Local write or read failed: said once per kind of failure, shown in the snapshot until the engine is opened again. */
export function reportDiskError(core: EngineCore, what: string, error: string): void {
  // What was under way when it was given up is no news.
  if (core.store.givenUp) return;
  const text = `local ${what} failed: ${error}`;
  const first = core.diskError !== text;
  core.diskError = text;
  if (first) core.report('disk-error', 'error', `${core.setup.resource.name}: ${text}`, { what, error });
}

/** @param peerServes the peer has everything durably; else nothing can be served any more */
export function reportGivenUp(core: EngineCore, cause: string, peerServes: boolean): void {
  const { name } = core.setup.resource;
  const peer = core.namedPeer ?? 'the peer';
  const what = peerServes
    ? `${peer} has everything and answers for it. Hand the group over ('hastate switchover')`
    : `${peer} went away before it had flushed everything, so nothing is acknowledged any more. Restart hastated here, and decide with 'hastate promote --force' there when ${peer} does not take over then`;
  const text = `${cause}; local disk given up: every extent may differ; ${what}, then mend the disk, or replace it and run 'hastate create ${name}'`;
  if (core.diskError === text) return;
  core.diskError = text;
  core.report('disk-error', 'error', `${name}: ${text}`, { what: 'given up' });
}

/** @returns what `work` resolves with, or null when that takes longer. ms */
export function within<T>(clock: ClockPort, ms: number, work: Promise<T>): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => resolve(null));
    work.then(resolve, reject).finally(cancel);
  });
}

/** Resolves after `ms`, or at once when `signal` says so. */
export function pause(clock: ClockPort, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const wake = (): void => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.after(ms, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
