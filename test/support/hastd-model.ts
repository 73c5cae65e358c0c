/**
 * What hastd 12.1 does where it is known to be wrong, as small as it can be said: the scenarios of
 * "Beat hastd" are shown to break these rules before ours are asked.
 * @see hast.md section 10
 */
import { activemapBytes, METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';

export interface SentRequest {
  readonly cmd: 'write' | 'delete';
  /** Its bytes were given to the socket. */
  readonly sent: boolean;
  readonly answered: boolean;
  /** errno of the answer, 0 for success. */
  readonly error: number;
}

/** 10.1, 10.2, 10.7: only a write that could not be sent marks its extent. */
export function marksDirty({ cmd, sent }: SentRequest): boolean {
  return cmd === 'write' && !sent;
}

/** 10.3: one good component is success, and no extent becomes stale: the next local read returns what is there. */
export function readsAfterLocalError(localContent: Buffer): Buffer {
  return localContent;
}

/** 10.4: `for (ii = ncomp; ii < ncomps; ...)` with both 1 while the secondary is the source: never queued. */
export function queuesRead(syncSource: 'primary' | 'secondary'): boolean {
  const components = 1;
  let queued = false;
  for (let i = syncSource === 'secondary' ? components : 0; i < components; i++) queued = true;
  return queued;
}

/** 10.5: an error of a sync request is logged, its extent is clean afterwards. */
export function cleanAfterSync(_errors: number): boolean {
  return true;
}

/** 10.6: bytes from 4096 on that the secondary zeroes, computed from the whole provider. */
export function zeroedMapBytes(providerBytes: number, extentsize: number, sector = 512): number {
  const map = activemapBytes(providerBytes - METADATA_BYTES, extentsize);
  return Math.ceil(map / sector) * sector;
}

/** 10.14: the receiver does not read while nothing is outstanding, so silence is never noticed. */
export function noticesDeadPeer(traffic: { outstanding: number }): boolean {
  return traffic.outstanding > 0;
}

/** 10.12: one request at a time at each disk. */
export function serialMs(requests: number, latencyMs: number): number {
  return requests * latencyMs;
}
