/** Where two copies that went apart differ at most, by the extents that are marked on each side. Pure. */

export interface Extents {
  readonly extents: number;
  readonly bytes: number;
}

export interface Divergence {
  /** Marked only in the copy that is kept. */
  readonly keepOnly: Extents;
  readonly discardOnly: Extents;
  readonly both: Extents;
}

/** A bit for each extent, the lowest of a byte first. */
export type Marks = Uint8Array;

export interface Layout {
  readonly extentBytes: number;
  /** The last extent may be shorter. */
  readonly dataBytes: number;
}

export function divergence(keep: Marks, discard: Marks, { extentBytes, dataBytes }: Layout): Divergence {
  const sums = [0, 0, 0, 0].map(() => ({ extents: 0, bytes: 0 }));
  for (let extent = 0; extent * extentBytes < dataBytes; extent++) {
    const sum = sums[bit(keep, extent) + 2 * bit(discard, extent)];
    if (sum === undefined) continue;
    sum.extents++;
    sum.bytes += Math.min(extentBytes, dataBytes - extent * extentBytes);
  }
  const none = { extents: 0, bytes: 0 };
  const [, keepOnly = none, discardOnly = none, both = none] = sums;
  return { keepOnly, discardOnly, both };
}

function bit(marks: Marks, extent: number): number {
  return ((marks[extent >> 3] ?? 0) >> (extent & 7)) & 1;
}
