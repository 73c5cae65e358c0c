/**
 * Recognises the peer's certain death: every connection of its current boot is gone, the last one
 * by FIN or RST and without a goodbye; an attempt to connect that began after that was refused;
 * and nothing was heard in between. @see SAFETY B6
 */
export class DeathWatch {
  #life = 0;
  #endedAt: number | null = null;

  /** Anything heard: whatever ended before means nothing now. */
  heard(): void {
    this.#endedAt = null;
  }

  /** The last connection of the current boot ended. @returns true when a refusal would now mean death */
  lastEnded(at: number, byPeer: boolean, saidGoodbye: boolean): boolean {
    this.#endedAt = byPeer && !saidGoodbye ? at : null;
    this.#life += 1;
    return this.#endedAt !== null;
  }

  /** To be taken when an attempt to connect begins. */
  attempt(): number {
    return this.#life;
  }

  /** @returns when the peer was cut off, once, when this refusal makes its death certain; else null */
  refused(attempt: number): number | null {
    if (attempt !== this.#life) return null;
    const at = this.#endedAt;
    this.#endedAt = null;
    return at;
  }
}
