/**
 * hastate's own control protocol: one JSON object per line on the control socket,
 * over which the command line and the page learn everything they show. A first byte
 * `{` tells it from hastctl's frames. Also the types of what is shown.
 */
import type { Divergence } from '../model/divergence.ts';
import type { Announcement } from '../model/election.ts';
import type { Evidence } from '../model/evidence.ts';
import type { ResourceRecord, Freshness } from '../model/record.ts';
import type { CopyFacts, ResolveVerdict } from '../model/resolve.ts';
import type {
  CarpState,
  ChecksumKind,
  CompressionKind,
  HastRole,
  NodeName,
  PathName,
  PolicyKind,
  ReplicationMode,
} from '../model/roles.ts';
import type { Verdict } from '../model/verdict.ts';

export type ControlCommand =
  | 'status'
  | 'role'
  | 'groups'
  | 'switchover'
  | 'promote'
  | 'fence'
  | 'standby'
  | 'maintenance'
  | 'resolve'
  | 'verify'
  | 'why-not'
  | 'events'
  | 'reload'
  | 'stop';

export interface ControlRequest {
  readonly id: number;
  readonly command: ControlCommand;
  readonly args: Readonly<Record<string, unknown>>;
}

export type ControlReply =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string };
    }
  /** Only after `events`: one per journal entry. */
  | { readonly id: number; readonly event: JournalEvent };

/** One line of the journal. `kind` is a stable dotted word, e.g. `group.state`, `engine.sync-progress`. */
export interface JournalEvent {
  readonly seq: number;
  /** ISO 8601, wall clock: for people. */
  readonly time: string;
  /** ms on the node's monotonic clock: for intervals. */
  readonly at: number;
  readonly node: NodeName;
  readonly kind: string;
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** The sentence for the operator. */
  readonly message: string;
  readonly resource?: string;
  readonly group?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** A running chart, for the page. `value` is XState's state value. */
export interface ChartSnapshot {
  /** e.g. `group.storage`. */
  readonly id: string;
  /** Name of the machine definition: advertiser, resource, link, group, hook-run, service, node. */
  readonly machine: string;
  readonly value: unknown;
  /** ms ago that the value last changed. */
  readonly sinceMs: number;
  readonly lastEvent: string | null;
}

export interface SyncProgress {
  readonly direction: 'toPeer' | 'fromPeer';
  readonly totalBytes: number;
  readonly doneBytes: number;
  readonly startedMsAgo: number;
  /** Of the last seconds. */
  readonly bytesPerSecond: number;
  /** What it will take at that rate, ms; null while nothing is copied. */
  readonly remainingMs: number | null;
}

/** A comparison of both disks, which the primary runs. */
export interface VerifyProgress {
  /** `interrupted`: by the end of the data link or of the role; it starts anew only when asked. */
  readonly state: 'running' | 'done' | 'interrupted' | 'stopped';
  /** Why it ended early, or null. */
  readonly why: string | null;
  /** What differs is copied to the peer. */
  readonly repair: boolean;
  readonly totalBytes: number;
  readonly doneBytes: number;
  /** Ranges that differ, or differed before they were repaired. */
  readonly differences: number;
  readonly differingBytes: number;
  /** Of these, the ones that were copied and were equal afterwards. */
  readonly repairedBytes: number;
  /** One of the disks could not be read. */
  readonly unreadBytes: number;
  /** The first differences. */
  readonly ranges: readonly VerifyRange[];
  readonly startedMsAgo: number;
  /** Null while it runs. */
  readonly tookMs: number | null;
  /** Of the last seconds. */
  readonly bytesPerSecond: number;
  /** What it will take at that rate, ms; null while nothing moves. */
  readonly remainingMs: number | null;
}

/** Bytes from the start of the resource's data. */
export interface VerifyRange {
  readonly offset: number;
  readonly length: number;
  readonly repaired: boolean;
}

/** Counters of one resource, named as hastctl lists them. */
export interface ResourceCounters {
  readonly reads: number;
  readonly writes: number;
  readonly deletes: number;
  readonly flushes: number;
  readonly activemapUpdates: number;
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly deleteErrors: number;
  readonly flushErrors: number;
}

/**
 * Requests on their way, named as hastctl lists them: at work here, waiting to be sent, waiting for
 * the other node's answer, done and not answered yet; and how many of 128 KiB would be taken now.
 */
export interface ResourceQueues {
  readonly local: number;
  readonly send: number;
  readonly recv: number;
  readonly done: number;
  readonly idle: number;
}

export interface ResourceStatus {
  readonly name: string;
  readonly provname: string;
  readonly role: HastRole;
  /** `complete`, `degraded`, or `-` where hastctl prints a dash. */
  readonly status: 'complete' | 'degraded' | '-';
  readonly localpath: string;
  readonly remoteaddr: string;
  readonly sourceaddr: string | null;
  readonly replication: ReplicationMode;
  readonly checksum: ChecksumKind;
  readonly compression: CompressionKind;
  readonly extentsize: number;
  readonly keepdirty: number;
  readonly datasize: number;
  readonly dirtyBytes: number;
  readonly record: ResourceRecord | null;
  readonly freshness: Freshness;
  readonly sync: SyncProgress | null;
  /** The comparison of both disks that this node runs or ran last, or null. */
  readonly verify: VerifyProgress | null;
  /** Why I/O is held or frozen, or null. */
  readonly held: string | null;
  /** NBD export of a primary, or null. */
  readonly export: { readonly socket: string; readonly name: string } | null;
  /** Device path where one is attached. */
  readonly device: string | null;
  readonly counters: ResourceCounters;
  readonly queues: ResourceQueues;
  /** Why the resource cannot be used, or null. */
  readonly error: string | null;
  /** A peer that died is noticed within this time, traffic or not. ms; null while the disk is not open. */
  readonly peerTimeoutMs: number | null;
  /** Why the data link was refused last, by this node or by the peer; null since it was made. */
  readonly peerProblem: string | null;
}

/** What `role` did to one resource. */
export interface RoleResult {
  readonly resource: string;
  /** Before; null for an unknown resource. */
  readonly previous: HastRole | null;
  /** Why it did not get its role, and a stable code for that; or null. */
  readonly error: string | null;
  readonly code: string | null;
  /** What hastctl is told, and exits with: 0, a number of hastd (1 unknown) or a FreeBSD errno. */
  readonly number: number;
}

/** A group's shared address on this node, as `ifconfig` shows CARP and keepalived shows VRRP. */
export interface AddressStatus {
  readonly protocol: string;
  readonly interface: string;
  readonly state: CarpState;
  /** ms since `state` began. */
  readonly sinceMs: number;
  readonly lastTransition: {
    readonly from: CarpState;
    readonly to: CarpState;
    readonly reason: string;
    /** ISO 8601, wall clock. */
    readonly time: string;
  } | null;
  /** CARP's vhid or VRRP's vrid. */
  readonly vhid: number;
  readonly addresses: readonly string[];
  /** The addresses are on the interface. */
  readonly up: boolean;
  /** Interfaces that answer for the addresses while they are up: `interface`, or those with a virtual MAC. */
  readonly carriers: readonly string[];
  readonly transport: string;
  /** How adverts prove who sent them: VRRP 2 by a word in clear text, CARP by a digest. */
  readonly authentication: 'none' | 'password' | 'digest';
  /** What this node says, or would say, as MASTER. */
  readonly says: Announcement;
  /** What it would say without demotion and tracking. */
  readonly configured: Announcement;
  /** The MASTER that this BACKUP hears; null when there is none. */
  readonly follows: { readonly source: string; readonly says: Announcement } | null;
  readonly timers: {
    readonly advertMs: number;
    /** Without adverts for this long a BACKUP takes over. */
    readonly downMs: number;
    /** ms between the adverts of the MASTER that is followed, VRRP 3. */
    readonly learnedMs: number | null;
  };
  readonly preempt: boolean;
  /** ms that a worse MASTER is heard before. */
  readonly preemptDelayMs: number;
  /** Why this node is worse than configured, by name; negative makes it better. */
  readonly demotion: Readonly<Record<string, number>>;
  /** What this node cannot lead without and does not have. */
  readonly faults: readonly string[];
  /** Why it holds back for a while, or null. */
  readonly hold: string | null;
  /** Elections won or lost within the window of the flap budget. */
  readonly elections: number;
  /** Changed settings that the other node does not have yet, in words; null when there are none. */
  readonly waitsFor: string | null;
  /** Nodes whose valid adverts were heard, the latest last. */
  readonly peers: readonly {
    readonly source: string;
    readonly says: Announcement;
    readonly heardMsAgo: number;
    readonly adverts: number;
  }[];
  /**
   * Adverts by `received`, `accepted`, `sent`, `send-error` and reason of refusal; elections as `became-master` and
   * `left-master`; `goodbye-sent` and `-heard` (VRRP's priority 0). What keepalived counts is there from the start.
   */
  readonly counters: Readonly<Record<string, number>>;
}

export interface GroupStatus {
  readonly name: string;
  readonly policy: PolicyKind;
  /** State of the group's chart as a dotted path, e.g. `primary` or `promoting.hooks`. */
  readonly state: string;
  readonly role: 'primary' | 'secondary' | 'changing' | 'stuck';
  readonly resources: readonly string[];
  readonly address: AddressStatus | null;
  readonly badge: string;
  readonly lastTransition: string | null;
}

/** A connection of the data link that was turned away before it belonged to a resource. */
export interface RefusedConnection {
  readonly address: string;
  readonly reason: string;
  /** How often, while it is remembered. */
  readonly count: number;
  readonly msAgo: number;
}

export interface NodeStatus {
  readonly node: NodeName;
  readonly version: string;
  readonly pid: number;
  readonly boot: string;
  readonly uptimeMs: number;
  readonly warnings: readonly string[];
  /** The last few, the latest first. */
  readonly refused: readonly RefusedConnection[];
  readonly peer: {
    readonly name: NodeName;
    readonly heardMsAgo: Readonly<Record<PathName, number | null>>;
    readonly channel: 'up' | 'down';
  } | null;
  readonly resources: readonly ResourceStatus[];
  readonly groups: readonly GroupStatus[];
  readonly charts: readonly ChartSnapshot[];
  readonly lastEvent: JournalEvent | null;
}

export interface WhyNotResult {
  readonly group: string;
  readonly verdict: Verdict;
  readonly evidence: Evidence;
}

export interface SwitchoverResult {
  readonly group: string;
  readonly from: NodeName;
  readonly to: NodeName;
  readonly dryRun: boolean;
  readonly verdict: Verdict;
  readonly plan: readonly string[];
  /** ms; null for a dry run. */
  readonly tookMs: number | null;
}

/** What `resolve` found and did. */
export interface ResolveResult {
  readonly resource: string;
  /** Both as they were before anything was done. */
  readonly keep: CopyFacts;
  readonly discard: CopyFacts;
  readonly dryRun: boolean;
  readonly verdict: ResolveVerdict;
  readonly plan: readonly string[];
  /** Of a dry run, where both maps could be compared: the extents that may differ. */
  readonly divergence: Divergence | null;
  /** What the numbers do not tell. */
  readonly notKnown: readonly string[];
  /** The copy was given up, durably. */
  readonly done: boolean;
  /** What did not go as planned after that. */
  readonly notes: readonly string[];
}

/** What `verify` began, ended or found. */
export interface VerifyResult {
  readonly resource: string;
  /** The primary, which compares. */
  readonly node: NodeName;
  readonly verify: VerifyProgress | null;
}

/** What came of reading both files again. */
export interface ReloadResult {
  /** Whether the files could be used. */
  readonly accepted: boolean;
  readonly applied: readonly string[];
  readonly needsRestart: readonly string[];
  /** What was to be followed and went wrong, or why the files were refused. */
  readonly problems: readonly string[];
}
