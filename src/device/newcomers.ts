/**
 * Connections that have not said yet what they want. Each has a bounded time for it, however little by little it
 * speaks, and of all together the one that waited longest makes room: who says nothing keeps nobody out.
 */
export interface NewcomersOptions<Connection> {
  readonly most: number;
  /** ms */
  readonly patience: number;
  /** Closes it. `why` is for the log. */
  readonly dismiss: (connection: Connection, why: string) => void;
}

export const HALF_SAID_MS = 10_000;

export class Newcomers<Connection> {
  readonly #options: NewcomersOptions<Connection>;
  /** The oldest first. */
  readonly #timers = new Map<Connection, NodeJS.Timeout>();

  constructor(options: NewcomersOptions<Connection>) {
    this.#options = options;
  }

  get size(): number {
    return this.#timers.size;
  }

  enter(connection: Connection): void {
    const { most, patience } = this.#options;
    const [oldest] = this.#timers.keys();
    if (this.#timers.size >= most && oldest !== undefined)
      this.#dismiss(oldest, 'it said nothing whole yet and too many others came');
    const late = (): void => this.#dismiss(connection, `it said nothing whole within ${patience / 1000} s`);
    this.#timers.set(connection, setTimeout(late, patience));
  }

  /** It said what it wants, or is gone. */
  leave(connection: Connection): void {
    clearTimeout(this.#timers.get(connection));
    this.#timers.delete(connection);
  }

  #dismiss(connection: Connection, why: string): void {
    this.leave(connection);
    this.#options.dismiss(connection, why);
  }
}
