/** A disk with a volatile cache: what was not flushed may be lost, sector by sector, when power fails. */
import type { Allocation } from '../model/block-device.ts';
import type { DiskPort, DiskProgress, IoResult } from '../replication/ports.ts';
import type { SimClock, SimRandom } from './sim-clock.ts';

export interface DiskFaults {
  read?: (offset: number, length: number) => IoResult;
  write?: (offset: number, length: number) => IoResult;
  writeDurable?: (offset: number, length: number) => IoResult;
  flush?: () => IoResult;
  /** Asked of each write that is not durable when a flush fails: a read then returns what was there before it. */
  loses?: () => boolean;
}

interface Pending {
  readonly offset: number;
  /** The caller's until the write ended, so that memory which is used again too early shows. */
  data: Buffer;
}

export class SimDisk implements DiskPort {
  readonly sizeBytes: number;
  readonly sectorBytes = 512;
  /** What a read returns. */
  readonly content: Buffer;
  /** What survives a power cut. */
  readonly durable: Buffer;
  faults: DiskFaults = {};
  /** Called before an operation starts: for tests that watch order. */
  onOperation: (
    kind: 'read' | 'write' | 'writeDurable' | 'flush' | 'holes',
    offset: number,
    length: number,
  ) => void = () => undefined;
  latencyMs = 0.3;
  /** Reads and writes are done before the call returns, as a fast file's are. */
  instant = false;
  /** Gives space back; see canPunch(). */
  punch?: DiskPort['punch'];
  /** Knows where it has holes; see tellHoles(). */
  holes?: DiskPort['holes'];
  /** Bytes that were punched. */
  punched = 0;
  readonly #clock: SimClock;
  readonly #random: SimRandom;
  #cached: Pending[] = [];
  /** What it would have answered since it hangs. */
  #hanging: (() => void)[] | null = null;
  #running = 0;
  #flushing = 0;
  #finished = 0;
  readonly #starting = new Set<Pending>();
  readonly #startingDurable = new Set<Pending>();
  #life = 0;

  constructor(clock: SimClock, random: SimRandom, sizeBytes: number) {
    this.#clock = clock;
    this.#random = random;
    this.sizeBytes = sizeBytes;
    this.content = Buffer.alloc(sizeBytes);
    this.durable = Buffer.alloc(sizeBytes);
  }

  read(offset: number, into: Buffer, done: (error: IoResult) => void): void {
    this.onOperation('read', offset, into.length);
    this.#soon(() => {
      const error = this.faults.read?.(offset, into.length) ?? null;
      if (error === null) this.content.copy(into, 0, offset, offset + into.length);
      done(error);
    });
  }

  write(offset: number, data: Buffer, done: (error: IoResult) => void): void {
    this.onOperation('write', offset, data.length);
    this.#put(offset, data, done);
  }

  #put(offset: number, data: Buffer, done: (error: IoResult) => void): void {
    const pending: Pending = { offset, data };
    this.#starting.add(pending);
    this.#soon(() => {
      this.#starting.delete(pending);
      pending.data = Buffer.from(data);
      const error = this.faults.write?.(offset, data.length) ?? null;
      if (error === null) {
        pending.data.copy(this.content, offset);
        this.#cached.push(pending);
      }
      done(error);
    });
  }

  /** From now on this disk punches holes; `error` is what it says instead, after it said that it can. */
  canPunch(error: IoResult = null): void {
    this.punch = (offset, length, done) => {
      this.onOperation('write', offset, length);
      if (error !== null) {
        this.#soon(() => done(error));
        return;
      }
      this.punched += length;
      this.#put(offset, Buffer.alloc(length), done);
    };
  }

  /**
   * From now on sectors of zeros are holes. `behind`: those that were zeros at the last flush, as a file system says
   * that does not look at what it caches.
   */
  tellHoles(behind = false): void {
    this.holes = (offset, length, most, done) => {
      this.onOperation('holes', offset, length);
      const pieces = this.#pieces(behind ? this.durable : this.content, offset, length, most);
      this.#soon(() => done(null, pieces));
    };
  }

  #pieces(content: Buffer, offset: number, length: number, most: number): Allocation[] {
    const pieces: { length: number; hole: boolean }[] = [];
    const zeros = Buffer.alloc(this.sectorBytes);
    for (let at = offset; at < offset + length; at += this.sectorBytes) {
      const hole = content.compare(zeros, 0, zeros.length, at, at + this.sectorBytes) === 0;
      const last = pieces.at(-1);
      if (last?.hole === hole) last.length += this.sectorBytes;
      else if (pieces.length === most) break;
      else pieces.push({ length: this.sectorBytes, hole });
    }
    return pieces;
  }

  writeDurable(offset: number, data: Buffer, done: (error: IoResult) => void): void {
    this.onOperation('writeDurable', offset, data.length);
    const pending: Pending = { offset, data: Buffer.from(data) };
    this.#startingDurable.add(pending);
    this.#later(() => {
      this.#startingDurable.delete(pending);
      const error = this.faults.writeDurable?.(offset, data.length) ?? null;
      if (error === null) {
        pending.data.copy(this.content, offset);
        pending.data.copy(this.durable, offset);
      }
      done(error);
    });
  }

  flush(done: (error: IoResult) => void): void {
    this.onOperation('flush', 0, 0);
    const covered = this.#cached.length;
    this.#flushing++;
    this.#later(() => {
      this.#flushing--;
      const error = this.faults.flush?.() ?? null;
      const written = this.#cached.splice(0, covered);
      // As a page cache does: after a failed flush the pages count as clean, and are lost.
      if (error === null) for (const { offset, data } of written) data.copy(this.durable, offset);
      else this.#lose(written);
      done(error);
    }, 4);
  }

  /** @param written what the flush covered */
  #lose(written: readonly Pending[]): void {
    const { loses } = this.faults;
    if (loses === undefined) return;
    const left = [...written, ...this.#cached].filter(() => !loses());
    this.#cached = this.#cached.filter((pending) => left.includes(pending));
    this.durable.copy(this.content);
    for (const { offset, data } of left) data.copy(this.content, offset);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Power fails: any sectors of what was not flushed may have reached the disk. Nobody is called back any more. */
  powerCut(): void {
    this.#life++;
    this.#running = this.#flushing = 0;
    for (const { offset, data } of [...this.#cached, ...this.#starting, ...this.#startingDurable]) {
      for (let at = 0; at < data.length; at += this.sectorBytes) {
        if (this.#random.chance(0.5)) data.copy(this.durable, offset + at, at, at + this.sectorBytes);
      }
    }
    this.#forget();
    this.durable.copy(this.content);
  }

  /** The process dies, the machine stays up: the cache keeps what was written. */
  processDied(): void {
    this.#life++;
    this.#running = this.#flushing = 0;
    for (const { offset, data } of [...this.#starting, ...this.#startingDurable])
      if (this.#random.chance(0.5)) {
        data.copy(this.content, offset);
        this.#cached.push({ offset, data: Buffer.from(data) });
      }
    this.#starting.clear();
    this.#startingDurable.clear();
  }

  #forget(): void {
    this.#cached = [];
    this.#starting.clear();
    this.#startingDurable.clear();
  }

  #soon(run: () => void): void {
    if (this.instant) run();
    else this.#later(run);
  }

  /** Takes requests and answers none. */
  hang(): void {
    this.#hanging ??= [];
  }
  /** Answers everything that waits, and works again. */
  goOn(): void {
    const waiting = this.#hanging ?? [];
    this.#hanging = null;
    for (const run of waiting) run();
  }
  progress(): DiskProgress {
    return { running: this.#running, flushing: this.#flushing, finished: this.#finished };
  }

  #later(run: () => void, factor = 1): void {
    const life = this.#life;
    this.#running++;
    const answer = (): void => {
      if (life !== this.#life) return;
      if (this.#hanging !== null) {
        this.#hanging.push(answer);
        return;
      }
      this.#running--;
      this.#finished++;
      run();
    };
    this.#clock.after(this.latencyMs * factor * (0.3 + this.#random.next()), answer);
  }
}
