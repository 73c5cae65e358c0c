import type { Allocation, BlockDevice, ZeroOptions } from '../../../src/model/block-device.ts';

type Done = (error: string | null) => void;

/** A disk in memory, whose answers a test can hold back or falsify. */
export class MemoryDevice implements BlockDevice {
  readonly content: Buffer;
  readonly sectorBytes: number;
  readonly maxRequestBytes: number;
  /** What arrived, in order, e.g. `write 0 512 fua`. */
  readonly requests: string[] = [];
  pendingBytes = 0;
  /** Non-null: answers wait here until the test calls them. */
  held: (() => void)[] | null = null;
  /** Answers go out in a later turn. */
  later = false;
  error: string | null = null;
  discards = true;
  allocation: BlockDevice['allocation'];

  constructor(sizeBytes: number, options: { sectorBytes?: number; maxRequestBytes?: number } = {}) {
    this.content = Buffer.alloc(sizeBytes);
    this.sectorBytes = options.sectorBytes ?? 512;
    this.maxRequestBytes = options.maxRequestBytes ?? 1024 * 1024;
  }

  get sizeBytes(): number {
    return this.content.length;
  }

  read(offset: number, length: number, done: (error: string | null, data: Buffer | null) => void): void {
    this.requests.push(`read ${offset} ${length}`);
    this.#answer(() => {
      if (this.error === null) done(null, Buffer.from(this.content.subarray(offset, offset + length)));
      else done(this.error, null);
    });
  }

  write(offset: number, data: Buffer, fua: boolean, done: Done, free?: () => void): void {
    this.requests.push(`write ${offset} ${data.length}${fua ? ' fua' : ''}`);
    this.pendingBytes += data.length;
    this.#answer(() => {
      if (this.error === null) data.copy(this.content, offset);
      this.pendingBytes -= data.length;
      free?.();
      done(this.error);
    });
  }

  zero(offset: number, length: number, { fua, mayPunch, fast }: ZeroOptions, done: Done): void {
    const flags = `${fua ? ' fua' : ''}${mayPunch ? '' : ' no-hole'}${fast ? ' fast' : ''}`;
    this.requests.push(`zero ${offset} ${length}${flags}`);
    this.#answer(() => {
      const error = this.error ?? (fast && !this.discards ? 'ENOTSUP' : null);
      if (error === null) this.content.fill(0, offset, offset + length);
      done(error);
    });
  }

  discard(offset: number, length: number, fua: boolean, done: Done): void {
    this.requests.push(`discard ${offset} ${length}${fua ? ' fua' : ''}`);
    this.#answer(() => {
      if (this.error === null && this.discards) this.content.fill(0, offset, offset + length);
      done(this.error);
    });
  }

  flush(done: Done): void {
    this.requests.push('flush');
    this.#answer(() => done(this.error));
  }

  /** Sectors of zeros are holes from now on. */
  tellHoles(): this {
    this.allocation = (offset, length, most, done) => {
      this.requests.push(`allocation ${offset} ${length} ${most}`);
      this.#answer(() => done(this.error, this.error === null ? this.#pieces(offset, length, most) : []));
    };
    return this;
  }

  #pieces(offset: number, length: number, most: number): Allocation[] {
    const pieces: { length: number; hole: boolean }[] = [];
    const zeros = Buffer.alloc(this.sectorBytes);
    for (let at = offset; at < offset + length; at += this.sectorBytes) {
      const hole = this.content.compare(zeros, 0, zeros.length, at, at + this.sectorBytes) === 0;
      const last = pieces.at(-1);
      if (last?.hole === hole) last.length += this.sectorBytes;
      else if (pieces.length === most) break;
      else pieces.push({ length: this.sectorBytes, hole });
    }
    return pieces;
  }

  /** Answers what was held, and what comes from now on. */
  release(): void {
    const held = this.held ?? [];
    this.held = null;
    for (const answer of held) answer();
  }

  #answer(answer: () => void): void {
    if (this.held !== null) this.held.push(answer);
    else if (this.later) setImmediate(answer);
    else answer();
  }
}
