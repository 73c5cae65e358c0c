/**
 * One disk's share of the thread pool, which all files of this process have together: a disk that hangs keeps its
 * threads for as long as it hangs, and the rest has to work on.
 */
const POOL_THREADS = 4;

export class PoolShare {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: ((leave: () => void) => void)[] = [];

  constructor(limit: number = shareOf(process.env['UV_THREADPOOL_SIZE'])) {
    this.#limit = limit;
  }

  /** Starts `work` when there is room for it; it calls `leave` once. */
  enter(work: (leave: () => void) => void): void {
    if (this.#running >= this.#limit) this.#waiting.push(work);
    else this.#start(work);
  }

  #start(work: (leave: () => void) => void): void {
    this.#running++;
    work(() => {
      this.#running--;
      const next = this.#waiting.shift();
      if (next !== undefined) this.#start(next);
    });
  }
}

/** All but one thread. */
export function shareOf(size: string | undefined): number {
  const threads = Number(size ?? POOL_THREADS);
  return Math.max(1, (Number.isInteger(threads) && threads > 0 ? threads : POOL_THREADS) - 1);
}
