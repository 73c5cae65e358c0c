/** One thing after the other, for each name: C2, one hook at a time per group. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does `work` when everything of this name that came before is over, however it ended. */
  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const done = mine
      .catch(() => undefined)
      .then(() => {
        if (this.#last.get(name) === done) this.#last.delete(name);
      });
    this.#last.set(name, done);
    return mine;
  }
}
