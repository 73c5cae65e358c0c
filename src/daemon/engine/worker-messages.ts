/** What the main thread and an engine's thread say beyond src/replication/messages.ts. */
import type { MessagePort } from 'node:worker_threads';
import type {
  AdoptConnection,
  EngineSetup,
  EngineSnapshot,
  FromEngine,
  ToEngine,
} from '../../replication/messages.ts';

export interface WorkerSetup {
  readonly setup: EngineSetup;
  /** Where in the lease memory this engine beats. */
  readonly slot: number;
}

/** As AdoptConnection, with a relay's port instead of a descriptor. */
interface AdoptRelayed {
  readonly type: 'adopt-relayed';
  readonly port: MessagePort;
  readonly head: Uint8Array;
  readonly remoteAddress: string;
  readonly encrypted: boolean;
}

export type Adoption = AdoptConnection | AdoptRelayed;
export type ToWorker = ToEngine | AdoptRelayed;

export type FromWorker =
  | FromEngine
  /** Once: the engine is open. `warning` is for status. */
  | { readonly type: 'opened'; readonly snapshot: EngineSnapshot; readonly warning: string | null }
  /** Once, instead: it could not be opened; the thread ends. */
  | { readonly type: 'open-failed'; readonly code: string; readonly message: string }
  /** The descriptor is this thread's now. */
  | { readonly type: 'adopted'; readonly fd: number };
