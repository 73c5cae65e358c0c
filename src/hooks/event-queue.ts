/** What is to be told of one resource, one thing after the other and in order; never more than a bound waits. */

export interface EventQueueOptions<T> {
  /** Tells it. Must not reject. */
  readonly run: (event: T) => Promise<void>;
  /** Waited too long and was dropped for a newer one. */
  readonly onDropped: (event: T) => void;
  readonly maxWaiting: number;
}

export class EventQueue<T> {
  readonly #options: EventQueueOptions<T>;
  readonly #waiting: T[] = [];
  #running: Promise<void> | null = null;

  constructor(options: EventQueueOptions<T>) {
    this.#options = options;
  }

  /** Never waits. The oldest that waits goes when there is no room: the newest says how things are. */
  add(event: T): void {
    this.#waiting.push(event);
    if (this.#waiting.length > this.#options.maxWaiting) {
      const dropped = this.#waiting.shift();
      if (dropped !== undefined) this.#options.onDropped(dropped);
    }
    this.#running ??= this.#drain().finally(() => {
      this.#running = null;
    });
  }

  /** Resolves when all that was added is told. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** What waits is told no more. */
  clear(): void {
    this.#waiting.length = 0;
  }

  async #drain(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift())
      await this.#options.run(event);
  }
}
