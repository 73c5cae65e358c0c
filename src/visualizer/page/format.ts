/** Numbers as people read them. */

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** @param bytes not negative; three figures at most, e.g. `1.5 GiB` */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 1000 && step < SIZES.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = step === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${SIZES[step] ?? ''}`;
}

/** @param ms not negative; the two largest units, e.g. `2 h 5 min`, `340 ms` */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Wall-clock time of day in the reader's zone, to the millisecond. */
export function formatTime(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const pad = (value: number, width = 2): string => String(value).padStart(width, '0');
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

export interface Progress {
  /** 0..1 */
  readonly share: number;
  /** ms until the end at the mean speed so far, or null before anything was copied. */
  readonly remainingMs: number | null;
}

/** How far a resync is. A total of 0 is done. */
export function progressOf(sync: {
  readonly totalBytes: number;
  readonly doneBytes: number;
  readonly startedMsAgo: number;
}): Progress {
  const { totalBytes, doneBytes, startedMsAgo } = sync;
  if (totalBytes <= 0) return { share: 1, remainingMs: 0 };
  const share = Math.min(1, Math.max(0, doneBytes / totalBytes));
  const remainingMs = doneBytes > 0 ? (startedMsAgo * Math.max(0, totalBytes - doneBytes)) / doneBytes : null;
  return { share, remainingMs };
}
