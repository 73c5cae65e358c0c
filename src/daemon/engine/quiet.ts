/**
 * Lets the event loop read what the kernel holds. Sockets are polled between two turns, so a whole
 * turn in which nothing came means that nothing was there.
 * @param received counts what came
 * @param stop ends the wait early
 * @param blocked somebody does not take what came: nothing can be said before he does
 */
export async function quiet(
  received: () => number,
  stop: () => boolean,
  blocked: () => boolean = () => false,
): Promise<void> {
  // A stream that was just resumed is polled only from the next turn on.
  await turn();
  let before: number;
  do {
    before = received();
    await turn();
    await turn();
  } while (!stop() && (blocked() || received() !== before));
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
