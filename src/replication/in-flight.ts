/** Requests that a secondary has taken and not ended, and the memory that they hold. */
export class InFlight {
  /** Bytes that their payloads and answers may take. */
  bytes = 0;
  #requests = 0;
  #whenIdle: (() => void)[] = [];

  get requests(): number {
    return this.#requests;
  }

  begin(bytes: number): void {
    this.#requests++;
    this.bytes += bytes;
  }

  end(bytes: number): void {
    this.#requests--;
    this.bytes -= bytes;
    if (this.#requests > 0) return;
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const done of waiting) done();
  }

  /** Resolves when there is none. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#requests === 0) resolve();
      else this.#whenIdle.push(resolve);
    });
  }
}
