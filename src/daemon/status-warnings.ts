/** The warnings of `status`. What comes and goes has a place of its own there. */
export class StatusWarnings {
  readonly all = new Set<string>();
  readonly #places = new Map<string, readonly string[]>();

  /** Says `text` instead of what this place said before; null or [] says nothing. */
  set(place: string, text: string | readonly string[] | null): void {
    for (const old of this.#places.get(place) ?? []) this.all.delete(old);
    const next = text === null ? [] : typeof text === 'string' ? [text] : text;
    this.#places.set(place, next);
    for (const one of next) this.all.add(one);
  }
}
