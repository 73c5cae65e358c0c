/** Lines of a byte stream, bounded. */
export class LineSplitter {
  readonly #limit: number;
  readonly #onLine: (line: string) => void;
  #rest = '';
  #skipping = false;

  /** @param limit characters; a longer line is dropped as a whole and passed on as an empty one */
  constructor(limit: number, onLine: (line: string) => void) {
    this.#limit = limit;
    this.#onLine = onLine;
  }

  take(text: string): void {
    const pieces = (this.#rest + text).split('\n');
    this.#rest = pieces.pop() ?? '';
    for (const line of pieces) {
      this.#onLine(this.#skipping || line.length > this.#limit ? '' : line);
      this.#skipping = false;
    }
    if (this.#rest.length <= this.#limit) return;
    this.#rest = '';
    this.#skipping = true;
  }
}
