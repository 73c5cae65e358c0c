/**
 * How a primary's NBD export becomes a device of this machine that hooks can mount.
 * One driver for each way; create-driver.ts chooses.
 * @see SAFETY C3, D1-D3
 */
import type { CleanupAction } from './cleanup.ts';
import type { Holder } from './processes.ts';

/** A file system first writes everything that it still has in memory. */
export const UNMOUNT_TIMEOUT_MS = 10_000;

export interface AttachOptions {
  readonly resource: string;
  readonly socketPath: string;
  /** Names the epoch: epochExportName(). @see SAFETY D3 */
  readonly exportName: string;
  /** The stable name; default: the resource's. hast.conf calls it provname. */
  readonly deviceName?: string;
  /** The device's sector size; default 512. */
  readonly sectorBytes?: number;
  /** Where ggatec may connect; only where the engine offers it. */
  readonly ggate?: { readonly host: string; readonly port: number };
}

export interface AttachedDevice {
  /** Stable path, for hooks; null where the export is all there is. */
  readonly path: string | null;
  /** For the keeper, in order: what frees everybody who waits for the device comes first. */
  readonly cleanup: readonly CleanupAction[];
}

/** Something that an earlier life left, or a detach could not remove. */
export interface Leftover {
  readonly resource: string;
  readonly kind: 'mount' | 'loop' | 'fuse' | 'process' | 'nbd' | 'ggate';
  /** Path or pid. */
  readonly what: string;
}

export interface DeviceDriver {
  readonly kind: 'nbdfuse-loop' | 'nbd-client' | 'ggatec' | 'none';
  /**
   * What is left of an earlier attachment is detached first; a failure leaves nothing behind that
   * leftovers() does not tell.
   * @throws DiskError with what failed and what to do; the signal's reason
   */
  attach(options: AttachOptions, signal: AbortSignal): Promise<AttachedDevice>;
  /**
   * Politely, then by force, each step bounded: when it resolves nothing of the device is left, whatever
   * made it. Unmounting is the hooks' job: what is still mounted is unmounted if nobody uses it, else its
   * device fails all I/O.
   * @returns what did not go politely, for the log; empty when all did
   * @throws DiskError `device-held` with who holds what; data can no longer reach the export then either
   */
  detach(resource: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Processes that use what is mounted from the resource's device (SAFETY C3). */
  holders(resource: string): Promise<Holder[]>;
  /** Everything found under this state directory, of any life (SAFETY D1). */
  leftovers(): Promise<Leftover[]>;
}

export interface DriverOptions {
  readonly stateDir: string;
  /** Where the stable names are. Default: /dev/hast for root on Linux, else <stateDir>/dev. */
  readonly deviceDir?: string;
  /** How long a polite unmount may take before the device is aborted; default UNMOUNT_TIMEOUT_MS. */
  readonly unmountTimeoutMs?: number;
}
