/** The clock of leases and evidence: monotonic, counting suspended time, the same in every thread. */
import { uptime } from 'node:os';
import type { ClockPort } from '../../replication/ports.ts';
import { loadLibC } from './native.ts';

/** @see clock_gettime(2) on Linux */
const CLOCK_BOOTTIME = 7;
/** How old the measured suspended time may be, ms of running time. */
const RESAMPLE_MS = 5;
/** os.uptime() has 10 ms steps; less than this is no suspension. */
const UPTIME_STEP_MS = 10;
const MAX_TIMER_MS = 0x7fffffff;

/**
 * ms since the machine booted. On Linux CLOCK_BOOTTIME when koffi is there; else, on Linux, the
 * monotonic clock plus what os.uptime() shows more, which agrees between threads to 10 ms and sees
 * a suspension within 5 ms after it. Elsewhere the monotonic clock, which counts it on FreeBSD.
 * @param options `holdsThread` false: a timer that is still set does not keep its thread from ending
 */
export function bootClock({ holdsThread = true } = {}): ClockPort {
  const now = process.platform === 'linux' ? (exactBootTime() ?? bootTimeFromUptime()) : monotonic;
  return { now, after: (ms, callback) => after(now, ms, callback, holdsThread) };
}

function exactBootTime(): (() => number) | null {
  const libc = loadLibC();
  if (libc === null || libc.clockGetTime(CLOCK_BOOTTIME) === null) return null;
  // It has answered once and does so for ever; were it not so, no lease would be younger than NaN.
  return () => libc.clockGetTime(CLOCK_BOOTTIME) ?? Number.NaN;
}

/** Exported for its test: koffi hides it where it is installed. */
export function bootTimeFromUptime(
  readUptimeMs: () => number = () => uptime() * 1000,
  running: () => number = monotonic,
): () => number {
  let suspended = 0;
  let sampledAt = -Infinity;
  return () => {
    const at = running();
    if (at - sampledAt >= RESAMPLE_MS) {
      // Uptime is rounded down, so the highest difference seen is the nearest to the truth.
      const difference = readUptimeMs() - at;
      if (difference > suspended && difference > UPTIME_STEP_MS) suspended = difference;
      sampledAt = at;
    }
    return at + suspended;
  };
}

function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Node's timers may fire a little early; this one does not. */
function after(now: () => number, ms: number, callback: () => void, holdsThread: boolean): () => void {
  const due = now() + ms;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    timer = setTimeout(
      () => {
        if (now() >= due) callback();
        else arm();
      },
      Math.min(MAX_TIMER_MS, Math.max(0, Math.ceil(due - now()))),
    );
    if (!holdsThread) timer.unref();
  };
  arm();
  return () => clearTimeout(timer);
}
