/** A resync in words for people. */
import { humanize } from './sizes.ts';
import type { SyncProgress, VerifyProgress } from '../protocol/control.ts';

export function syncText(sync: SyncProgress): string {
  const { direction, doneBytes, totalBytes, bytesPerSecond, remainingMs } = sync;
  const share = totalBytes > 0 ? Math.floor((doneBytes / totalBytes) * 100) : 100;
  const left = remainingMs === null ? 'waiting' : `${timeText(remainingMs)} to go`;
  const way = direction === 'toPeer' ? 'to' : 'from';
  return `synchronizing ${way} the peer: ${share} % of ${humanize(totalBytes)}, ${humanize(bytesPerSecond)}/s, ${left}`;
}

/** A verification in words for people. */
export function verifyText(verify: VerifyProgress): string {
  const { state, totalBytes, doneBytes, bytesPerSecond, remainingMs, why } = verify;
  const share = totalBytes > 0 ? Math.floor((doneBytes / totalBytes) * 100) : 100;
  const left = remainingMs === null ? 'waiting' : `${timeText(remainingMs)} to go`;
  const how = {
    running: `verifying: ${share} % of ${humanize(totalBytes)}, ${humanize(bytesPerSecond)}/s, ${left}`,
    done: `verified in ${timeText(verify.tookMs ?? 0)}`,
    interrupted: `verification interrupted at ${share} % (${why ?? ''}), it starts anew when asked`,
    stopped: `verification ended at ${share} % (${why ?? ''})`,
  }[state];
  return `${how}; ${foundText(verify)}`;
}

function foundText({ differences, differingBytes, repairedBytes, unreadBytes }: VerifyProgress): string {
  const unread = unreadBytes === 0 ? '' : `, ${unreadBytes} bytes could not be compared`;
  if (differences === 0) return `no difference${unread}`;
  const repaired =
    repairedBytes === 0
      ? 'not repaired'
      : repairedBytes === differingBytes
        ? 'repaired'
        : `${repairedBytes} bytes repaired`;
  return `${differences} differences of ${differingBytes} bytes, ${repaired}${unread}`;
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
