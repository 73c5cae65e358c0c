/** Something that is open at one path and can move to another: the new one first, then the old one goes. */
export class Swappable<T extends { close(): Promise<void> }> {
  readonly #make: (path: string) => Promise<T>;
  #current: T | null = null;
  #leaving: Promise<void> = Promise.resolve();

  constructor(make: (path: string) => Promise<T>) {
    this.#make = make;
  }

  /** When it cannot be opened there, the old one stays. */
  async open(path: string): Promise<T> {
    const made = await this.#make(path);
    const old = this.#current;
    this.#current = made;
    // Not awaited: its clients may be waiting for the one who calls this.
    if (old !== null) this.#leaving = Promise.allSettled([this.#leaving, old.close()]).then(() => undefined);
    return made;
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = null;
    await this.#leaving;
    await current?.close();
  }
}
