/**
 * What the main thread and an engine worker say to each other. Plain, structured-clonable data.
 * Block I/O never passes here.
 */
import type { Epoch, Freshness, ResourceRecord } from '../model/record.ts';
import type { HastRole, NodeName, ReplicationMode } from '../model/roles.ts';
import type { ResourceSettings } from '../model/settings.ts';
import type { Timing } from '../model/timing.ts';
import type { LinkAccess } from '../protocol/link-keys.ts';
import type { OpenExport } from './ports.ts';
import type { ResourceCounters, ResourceQueues, SyncProgress, VerifyProgress } from '../protocol/control.ts';

export interface EngineSetup {
  readonly resource: ResourceSettings;
  readonly node: NodeName;
  readonly boot: string;
  readonly timing: Timing;
  readonly peerKind: 'hastate' | 'hastd';
  /**
   * Of the pair's secret (deriveLinkKey): only who proves to know it is met on the data link. Null: no secret, and
   * whoever is let in is believed, so with certificates TLS itself is the proof.
   */
  readonly linkKey: Uint8Array | null;
  /** Of other secrets that the peer may still, or already, have. */
  readonly otherLinkKeys?: readonly Uint8Array[];
  /** The data link is encrypted with these, by its ports; absent or null: it is not. */
  readonly linkTls?: LinkAccess | null;
  /** Bytes per second that a resync may copy; 0 or absent: without limit, giving way to applications. */
  readonly resyncRate?: number;
  /** Directory of state files: sidecar copies and NBD sockets. */
  readonly stateDir: string;
  /** See src/daemon/lease-memory.ts. */
  readonly leaseMemory: SharedArrayBuffer;
}

/** What comes of the secret file or the certificates. */
export type LinkSecrets = Pick<EngineSetup, 'linkKey' | 'otherLinkKeys' | 'linkTls'>;

/** Commands that are answered by exactly one `reply` with the same id. */
export type EngineCommand =
  /** Accept a primary. From `init` or `secondary`. */
  | { readonly type: 'become-secondary' }
  /**
   * B7 first half: read the data link to its end, apply, flush, write the record
   * {epoch, primary=self, inSync}. No I/O is served yet; the data link is closed.
   * Rejects with EngineError and records nothing: `not-in-sync` for an outdated or inconsistent disk unless
   * `forced` (an operator's word, B2); `peer-alive` when the peer was heard after `heardBefore` (ms of the
   * clock), which the data link read to its end may show.
   */
  | {
      readonly type: 'prepare-primary';
      readonly epoch: Epoch;
      readonly inSync: readonly NodeName[];
      readonly forced?: boolean;
      /** E1: an operator says that a copy is whole which followed a plain hastd. */
      readonly vouched?: boolean;
      readonly heardBefore?: number;
      /** B6, F: whoever was primary before is certainly dead and answers nobody: there is no H to wait for (A3). */
      readonly earlierGone?: boolean;
    }
  /** Serve I/O and connect to the peer. After `prepare-primary` of the same epoch, or by hand (`hastctl role primary` with no group). */
  | { readonly type: 'become-primary'; readonly epoch: Epoch }
  /**
   * Demotion: close the export, finish what runs, flush both sides, record `released` when
   * `handover` is true, drop the data link, role `init`. Idempotent.
   */
  | { readonly type: 'release'; readonly handover: boolean }
  /** Take back a `released` that nobody took up (durable abort of D4). */
  | { readonly type: 'unrelease' }
  /** As secondary or init: record `outdated` durably (A3, B3). `epoch` is the asking primary's. */
  | { readonly type: 'outdate'; readonly epoch: Epoch }
  /** As primary: the peer confirmed that it recorded `outdated` (A3). */
  | { readonly type: 'peer-outdated'; readonly epoch: Epoch }
  /** Records were compared on the peer channel while nobody was primary (B4). */
  | { readonly type: 'set-freshness'; readonly freshness: Freshness }
  /** D5: an operator gave this copy up. Not as primary. Everything is copied from the next primary. */
  | { readonly type: 'discard' }
  /** Any path showed this epoch of the peer (A5). */
  | { readonly type: 'peer-epoch'; readonly epoch: Epoch }
  /**
   * hast.conf was read again. As primary everything but `name`, `local` and `peer` is followed at once, and
   * another `remote` or `source` means another connection; a secondary lets its primary connect again.
   * The connector port is the new one already.
   */
  | { readonly type: 'settings'; readonly resource: ResourceSettings }
  /** The secret file was read again: for connections from now on. The ports know it already. */
  | { readonly type: 'secrets'; readonly secrets: LinkSecrets }
  /**
   * As primary with the peer in sync: compare both disks, or end that. Rejects with EngineError `not-primary`,
   * `not-in-sync`, `verify-running`.
   */
  | {
      readonly type: 'verify';
      readonly action: 'start';
      /** Bytes per second, 0: without limit; null: as a resync. */
      readonly rate: number | null;
      readonly repair: boolean;
    }
  | { readonly type: 'verify'; readonly action: 'stop' }
  | { readonly type: 'snapshot' }
  /** As `snapshot`, with `marks`. */
  | { readonly type: 'marks' }
  | { readonly type: 'stop' };

/** What leaves the role as it is. */
export type QuietCommand = Extract<
  EngineCommand,
  {
    type:
      | 'outdate'
      | 'peer-outdated'
      | 'set-freshness'
      | 'peer-epoch'
      | 'unrelease'
      | 'discard'
      | 'verify'
      | 'snapshot';
  }
>;

/** A connection that the main thread accepted: `fd` is a duplicate that now belongs to the worker. */
export interface AdoptConnection {
  readonly type: 'adopt';
  readonly fd: number;
  /** Bytes read so far, starting with the first frame. */
  readonly head: Uint8Array;
  readonly remoteAddress: string;
  /** What was read so far begins an encryption. */
  readonly encrypted: boolean;
}

export type ToEngine = { readonly id: number; readonly command: EngineCommand } | AdoptConnection;

export type FromEngine =
  | { readonly type: 'reply'; readonly id: number; readonly ok: true; readonly snapshot: EngineSnapshot }
  | {
      readonly type: 'reply';
      readonly id: number;
      readonly ok: false;
      readonly code: string;
      readonly message: string;
    }
  | { readonly type: 'event'; readonly event: EngineEvent };

export interface EngineSnapshot {
  readonly role: HastRole;
  readonly status: 'complete' | 'degraded' | '-';
  readonly record: ResourceRecord;
  readonly freshness: Freshness;
  readonly resuid: string;
  readonly extentsize: number;
  readonly keepdirty: number;
  readonly datasize: number;
  readonly dirtyBytes: number;
  readonly sync: SyncProgress | null;
  /** The comparison of both disks that this primary runs, or ran last; null: none since the engine was opened. */
  readonly verify: VerifyProgress | null;
  readonly held: string | null;
  readonly export: OpenExport | null;
  /** A write probe failed or is late: the primary is not healthy (B5). */
  readonly diskError: string | null;
  /** The link is up and the peer is no full member by it yet: nothing is handed over to it. */
  readonly joining: boolean;
  /** The disk has answered nothing for hast.conf's `timeout`. */
  readonly diskHangs: boolean;
  /** Nothing is asked of it any more in this engine's life: every extent may differ, and only the peer is in sync. */
  readonly diskGivenUp: boolean;
  readonly dataLinkUp: boolean;
  readonly dataLinkDownAt: number | null;
  /** A peer that died is noticed within this time, traffic or not. ms */
  readonly peerTimeoutMs: number;
  /** Why the data link was refused last, here or by the peer; null since it was made. */
  readonly peerProblem: string | null;
  /** How the primary of this link, or of the last one, acknowledges writes (A2); null when none has said so. */
  readonly primaryMode: ReplicationMode | null;
  /** What works and is not as it should be, in sentences. */
  readonly warnings: readonly string[];
  readonly counters: ResourceCounters;
  readonly queues: ResourceQueues;
  /** Only when asked: a bit for each extent that is marked, the lowest of a byte first. */
  readonly marks?: Uint8Array;
}

/** Every event carries the snapshot after it, so that nobody has to ask. */
export interface EngineEvent {
  readonly kind:
    | 'opened'
    | 'role'
    | 'connected'
    | 'disconnected'
    | 'refused'
    | 'sync-started'
    | 'sync-progress'
    | 'sync-done'
    | 'sync-interrupted'
    | 'verify-started'
    | 'verify-progress'
    /** Something differs, or cannot be read. */
    | 'verify-difference'
    | 'verify-done'
    | 'verify-interrupted'
    | 'record'
    | 'held'
    | 'resumed'
    | 'frozen'
    | 'thawed'
    /** A3: somebody must ask the peer, on any path, to record `outdated` in `epoch`. */
    | 'want-outdate'
    | 'split-brain'
    | 'disk-error'
    /** It answers nothing; or does again. */
    | 'disk-stalled'
    | 'disk-recovered'
    /** The third copy of the metadata cannot be written, or can be again. */
    | 'metadata-copy'
    /** A client of the export said nothing that could be understood. */
    | 'client-closed'
    | 'failed';
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly snapshot: EngineSnapshot | null;
}
