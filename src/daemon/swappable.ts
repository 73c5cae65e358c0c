/** Something that is open at one path and can move to another: the new one first, then the old one goes. */
export class Swappable<T extends { close(): Promise<void> }> {
  readonly #make: (path: string) => Promise<T>;
  readonly #lingerMs: number;
  #current: T | null = null;
  /** Old ones on their way out. */
  readonly #leaving = new Set<() => Promise<void>>();

  /** @param lingerMs how long an old one stays: who asked for the move is answered by it */
  constructor(make: (path: string) => Promise<T>, lingerMs = 0) {
    this.#make = make;
    this.#lingerMs = lingerMs;
  }

  /** When it cannot be opened there, the old one stays. */
  async open(path: string): Promise<T> {
    const made = await this.#make(path);
    const old = this.#current;
    this.#current = made;
    if (old !== null) this.#letGo(old);
    return made;
  }

  #letGo(old: T): void {
    const leave = async (): Promise<void> => {
      clearTimeout(timer);
      await old.close();
      this.#leaving.delete(leave);
    };
    // Its close() waits for nobody and has nothing to say that its owner could act on.
    const timer = setTimeout(() => void leave().catch(() => undefined), this.#lingerMs);
    this.#leaving.add(leave);
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = null;
    await Promise.allSettled([...this.#leaving].map((leave) => leave()));
    await current?.close();
  }
}
