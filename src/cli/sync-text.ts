/** A resync in words for people. */
import { humanize } from './sizes.ts';
import type { SyncProgress } from '../protocol/control.ts';

export function syncText(sync: SyncProgress): string {
  const { direction, doneBytes, totalBytes, bytesPerSecond, remainingMs } = sync;
  const share = totalBytes > 0 ? Math.floor((doneBytes / totalBytes) * 100) : 100;
  const left = remainingMs === null ? 'waiting' : `${timeText(remainingMs)} to go`;
  const way = direction === 'toPeer' ? 'to' : 'from';
  return `synchronizing ${way} the peer: ${share} % of ${humanize(totalBytes)}, ${humanize(bytesPerSecond)}/s, ${left}`;
}

/** `42 s`, `3 min 5 s`, `2 h 10 min` */
function timeText(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
