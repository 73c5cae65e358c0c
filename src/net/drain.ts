/**
 * Reads on until nothing is waiting. A raw socket delivers one datagram per turn of the event loop, so after a
 * stall adverts lie unread while down timers are due.
 * @see carp-vrrp 0.1
 */

/** Turns without a datagram that prove the socket empty: the first may have begun after the poll of its turn. */
const EMPTY_TURNS = 2;

/**
 * @param received datagrams that the socket has delivered so far
 * @param maxTurns bound on turns of the event loop, default 256
 * @param maxMs bound on time, default 50
 * @param read delivers what waits and counts it; null where the socket delivers by itself only
 */
export async function drainTurns(
  received: () => number,
  maxTurns = 256,
  maxMs = 50,
  read: () => number | null = () => null,
): Promise<{ datagrams: number }> {
  const first = received();
  const deadline = performance.now() + maxMs;
  for (let turn = 0, empty = 0; turn < maxTurns && empty < EMPTY_TURNS; turn += 1) {
    const before = received();
    if (read() === 0) break;
    await new Promise((resolve) => setImmediate(resolve));
    empty = received() === before ? empty + 1 : 0;
    if (performance.now() > deadline) break;
  }
  return { datagrams: received() - first };
}
