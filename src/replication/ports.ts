/**
 * What the engine needs of the world. The daemon's worker binds these to files and
 * sockets, the simulator to its own. Everything is non-blocking and calls back;
 * a port never throws for an I/O failure, it reports one.
 */
import type { Allocation, BlockDevice } from '../model/block-device.ts';
import type { Epoch } from '../model/record.ts';
import type { AloneNeeds } from '../model/without-peer.ts';
import type { Held } from '../protocol/buffer-pool.ts';

/** Monotonic clock that counts suspended time. */
export interface ClockPort {
  /** ms since an arbitrary start, fractions allowed. */
  now(): number;
  /** Calls back once after `ms`; the result cancels. */
  after(ms: number, callback: () => void): () => void;
}

export interface RandomPort {
  /** 16 hex digits, never all zero. */
  id(): string;
  bytes(length: number): Buffer;
}

/** POSIX name of what failed (`EIO`, `ENOSPC`...) or null for success. */
export type IoResult = string | null;

/** The local component. Offsets and lengths in bytes from the start of the component. */
export interface DiskPort {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** Fills `into`. The call may complete before it returns. */
  read(offset: number, into: Buffer, done: (error: IoResult) => void): void;
  /** Not durable until flush(). The call may complete before it returns. */
  write(offset: number, data: Buffer, done: (error: IoResult) => void): void;
  /** Durable when it calls back without error: for metadata and the activemap. */
  writeDurable(offset: number, data: Buffer, done: (error: IoResult) => void): void;
  /**
   * The range reads as zeros and its space is given back; quicker than writing. Not durable until flush().
   * Only where the disk can; `EOPNOTSUPP` when it turns out that it cannot: then some of the range may be zero.
   */
  readonly punch?: ((offset: number, length: number, done: (error: IoResult) => void) => void) | undefined;
  /**
   * Where the range has holes, from its start on, perhaps not to its end: at most `most` pieces of whole sectors.
   * The call may complete before it returns. Only where the disk can tell.
   */
  readonly holes?:
    | ((
        offset: number,
        length: number,
        most: number,
        done: (error: IoResult, pieces: readonly Allocation[]) => void,
      ) => void)
    | undefined;
  /** fdatasync: everything written before the call is durable. */
  flush(done: (error: IoResult) => void): void;
  close(): Promise<void>;
  /** Absent: a hang is not noticed. */
  progress?(): DiskProgress;
}

export interface DiskProgress {
  /** Requests that were begun and not answered, and how many of them are flushes. */
  readonly running: number;
  readonly flushing: number;
  /** Requests that were answered so far. */
  readonly finished: number;
}

/** The third copy of a resource's metadata, outside the disk. */
export interface SidecarPort {
  load(): Promise<Buffer | null>;
  /** Resolves when durable. */
  store(content: Buffer): Promise<void>;
}

/** One TCP connection of the data link. */
export interface ConnectionPort {
  readonly remoteAddress: string;
  /** Takes ownership of the buffers. Returns the bytes now waiting to be sent. */
  send(...parts: Buffer[]): number;
  /** Bytes waiting to be sent. */
  readonly pendingBytes: number;
  /** At most one listener each; `onData` is called with what arrived, in order. */
  onData(listener: (chunk: Buffer) => void): void;
  /** Called once. `reason` is for the log. */
  onClose(listener: (reason: string) => void): void;
  /** Called when pendingBytes fell below the low-water mark. */
  onDrain(listener: () => void): void;
  /**
   * From now on what onData() delivers is overwritten, unless hold() was called for it: not before 900 KiB
   * more were delivered. Absent: it stays.
   */
  reuse?(): void;
  /** Keeps these bytes, some of what was delivered, until they are released. Null: they stay anyway. */
  hold?(data: Buffer): Held | null;
  /**
   * Asked before each read where to put what comes: there, and onData() delivers it from there; or anywhere,
   * no more than so many bytes. Absent: it is never asked.
   */
  land?(where: () => Buffer | number): void;
  pause(): void;
  resume(): void;
  /** Reads what already arrived, synchronously delivers it through onData, and resolves at end or after one empty turn (SAFETY B7). */
  drain(): Promise<void>;
  close(reason: string): void;
}

export interface ConnectorPort {
  /** Connects to the resource's `remote` from its `source`. Rejects with NetError. */
  connect(timeoutMs: number, signal: AbortSignal): Promise<ConnectionPort>;
}

/**
 * Evidence memory shared by all threads of the daemon (SAFETY A4, A5). Times are ms of ClockPort.
 * A thread that froze cannot keep a lease alive: the value is the time at which *we sent*
 * what the peer has echoed, so buffered messages renew nothing.
 */
export interface LeasePort {
  /** Peer was alive and heard us at this time of our clock; -Infinity = never in this boot. */
  aliveAt(): number;
  /** Last valid message of the peer on any path. */
  heardAt(): number;
  /** Data link evidence, kept as a maximum. */
  renew(aliveAt: number): void;
  heard(at: number): void;
  /** Highest epoch number that any path has shown of the peer. */
  peerEpochNumber(): number;
  /** What the silence of a peer that is called in sync needs before a primary goes on without it (A3, B8, F). */
  aloneNeeds(): AloneNeeds;
  /** When the question was put that a majority of the references answered; -Infinity = never. */
  referencesAt(): number;
  /** When the peer was certainly down: a fence hook or a person said so; -Infinity = never. */
  fencedAt(): number;
}

/** Where this machine finds a primary's disk. */
export interface OpenExport {
  /** Path of NBD's unix socket. */
  readonly socket: string;
  readonly name: string;
  /** Of the device that is made of it. */
  readonly sectorBytes?: number;
  /** Where ggatec may connect. */
  readonly ggate?: { readonly host: string; readonly port: number };
}

/** How a primary's disk is offered to this machine. */
export interface ExportPort {
  /** The export belongs to this epoch (SAFETY D3). Rejects with DiskError. */
  open(device: BlockDevice, epoch: Epoch): Promise<OpenExport>;
  /** Ends every client connection. Idempotent. */
  close(): Promise<void>;
}

export interface EnginePorts {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly disk: DiskPort;
  readonly sidecar: SidecarPort;
  readonly connector: ConnectorPort | null;
  readonly lease: LeasePort;
  readonly exporter: ExportPort;
}
