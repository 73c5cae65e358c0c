/** Notices that the event loop, the process or the machine stood still, so that timers can be doubted. */

/**
 * @param options.everyMs how often to look, default 50
 * @param options.leastMs shorter stalls are nobody's business, default 100
 * @param options.now ms of a monotonic clock that counts suspended time
 * @returns ends the watch
 */
export function watchLoopStalls(options: {
  readonly onStall: (ms: number) => void;
  readonly now: () => number;
  readonly everyMs?: number;
  readonly leastMs?: number;
}): () => void {
  const { onStall, now, everyMs = 50, leastMs = 100 } = options;
  let last = now();
  const timer = setInterval(() => {
    const late = now() - last - everyMs;
    last = now();
    if (late >= leastMs) onStall(late);
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
