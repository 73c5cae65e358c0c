/**
 * Recognises the peer's certain death: every connection of its current boot is gone, the last one
 * by FIN or RST and without a goodbye; an attempt to connect that began after that was refused;
 * and nothing was heard in between. @see SAFETY B6
 */
export class DeathWatch {
  #life = 0;
  #armed = false;

  /** Anything heard: whatever ended before means nothing now. */
  heard(): void {
    this.#armed = false;
  }

  /** The last connection of the current boot ended. @returns true when a refusal would now mean death */
  lastEnded(byPeer: boolean, saidGoodbye: boolean): boolean {
    this.#armed = byPeer && !saidGoodbye;
    this.#life += 1;
    return this.#armed;
  }

  /** To be taken when an attempt to connect begins. */
  attempt(): number {
    return this.#life;
  }

  /** @returns true, once, when this refusal makes the death certain */
  refused(attempt: number): boolean {
    const certain = this.#armed && attempt === this.#life;
    if (certain) this.#armed = false;
    return certain;
  }
}
