/** What one resource's engine does for its owner. */
import type { Buffer } from 'node:buffer';
import type { EngineCommand, EngineSnapshot } from './messages.ts';
import type { ConnectionPort } from './ports.ts';

export interface Engine {
  /** Reads metadata and map. Once, before anything else. Rejects with DiskError. */
  open(): Promise<EngineSnapshot>;
  /** Rejects with EngineError when role or state do not allow it, with DiskError when it cannot be made durable. */
  handle(command: EngineCommand): Promise<EngineSnapshot>;
  /** An accepted connection and the bytes read so far, which hold the first frame whole. */
  adopt(connection: ConnectionPort, head: Buffer): void;
  /** An accepted connection that its port does not trust; null when nothing can be said on it. */
  turnAway(connection: ConnectionPort | null, why: string): void;
  /** Ends everything; the ports stay with their owner. Idempotent. */
  close(): Promise<void>;
}
