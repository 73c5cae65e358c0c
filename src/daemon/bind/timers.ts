/** What a node does again and again, until it closes. */
import type { ClockPort } from '../../replication/ports.ts';

export class Timers {
  readonly #clock: ClockPort;
  readonly #cancels = new Set<() => void>();

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** First after `ms`, then as often. */
  every(ms: number, work: () => void): void {
    let cancel: (() => void) | null = null;
    const again = (): void => {
      work();
      cancel = this.#clock.after(ms, again);
    };
    cancel = this.#clock.after(ms, again);
    this.#cancels.add(() => cancel?.());
  }

  /** Ended with the others. */
  add(cancel: () => void): void {
    this.#cancels.add(cancel);
  }

  close(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
  }
}
