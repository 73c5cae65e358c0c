/**
 * Knows what every sector of a disk may hold: each write has a stamp of its own; after the last
 * acknowledged (or flushed) one only it and later ones are allowed.
 */
const SECTOR = 512;

interface Written {
  readonly stamp: number;
  acked: boolean;
  flushed: boolean;
}

export class Oracle {
  #stamp = 0;
  #sectors = new Map<number, Written[]>();
  #acked: Written[][] = [];

  /** Announces zeros, which are stamp 0. `ended` tells how it went. */
  zero(offset: number, length: number): (error: string | null) => void {
    return this.write(offset, length, 0).ended;
  }

  /** Announces a write. `ended` tells how it went. */
  write(
    offset: number,
    length: number,
    stamp = ++this.#stamp,
  ): { data: Buffer; ended: (error: string | null) => void } {
    const data = Buffer.alloc(length);
    const touched: Written[] = [];
    for (let at = 0; at < length; at += SECTOR) {
      fill(data.subarray(at, at + SECTOR), stamp);
      const entry: Written = { stamp, acked: false, flushed: false };
      this.#of((offset + at) / SECTOR).push(entry);
      touched.push(entry);
    }
    return {
      data,
      ended: (error) => {
        if (error !== null) return;
        for (const entry of touched) entry.acked = true;
        this.#acked.push(touched);
      },
    };
  }

  /** Call before a flush is asked for; the result is called when it succeeded. */
  flush(): () => void {
    const covered = new Set(this.#acked);
    return () => {
      for (const touched of covered) for (const entry of touched) entry.flushed = true;
      this.#acked = this.#acked.filter((touched) => !covered.has(touched));
    };
  }

  /** @returns what is wrong with the first bad sector, or null */
  check(data: Buffer, demand: 'acked' | 'flushed'): string | null {
    for (const [sector, history] of this.#sectors) {
      const at = sector * SECTOR;
      const found = data.readUInt32LE(at);
      if (!data.subarray(at, at + SECTOR).equals(fill(Buffer.alloc(SECTOR), found)))
        return `sector ${sector} is torn inside`;
      const must = history.findLastIndex((entry) => entry[demand]);
      const index = history.findLastIndex((entry) => entry.stamp === found);
      if (index >= must && (index >= 0 || found === 0)) continue;
      return `sector ${sector} (offset ${at}) holds stamp ${found}, the last ${demand} one is ${history[must]?.stamp ?? 0}`;
    }
    return null;
  }

  /** A new primary's data is what counts from now on: it may not change by itself. */
  settle(data: Buffer): void {
    for (const [sector] of this.#sectors) {
      const stamp = data.readUInt32LE(sector * SECTOR);
      this.#sectors.set(sector, stamp === 0 ? [] : [{ stamp, acked: true, flushed: false }]);
    }
    // What was read may still be in a cache only; the next flush covers it.
    this.#acked = [[...this.#sectors.values()].flat()];
  }

  #of(sector: number): Written[] {
    const known = this.#sectors.get(sector);
    if (known !== undefined) return known;
    const fresh: Written[] = [];
    this.#sectors.set(sector, fresh);
    return fresh;
  }
}

function fill(sector: Buffer, stamp: number): Buffer {
  for (let at = 0; at < sector.length; at += 4) sector.writeUInt32LE(stamp, at);
  return sector;
}
