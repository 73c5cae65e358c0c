import { expect, it } from 'vitest';
import { divergence } from '../../../src/model/divergence.ts';

const marks = (...extents: number[]): Uint8Array => {
  const bits = new Uint8Array(3);
  for (const extent of extents) bits[extent >> 3] = (bits[extent >> 3] ?? 0) | (1 << (extent & 7));
  return bits;
};

it('tells extents that only one side wrote from those that both wrote, and counts a short last one as it is', () => {
  const layout = { extentBytes: 1000, dataBytes: 17_300 };
  expect(divergence(marks(0, 3, 8, 17), marks(3, 9, 10, 17), layout)).toEqual({
    keepOnly: { extents: 2, bytes: 2000 },
    discardOnly: { extents: 2, bytes: 2000 },
    both: { extents: 2, bytes: 1300 },
  });
});

it('sees no extent behind the end of the disk, nor in a map that ends early', () => {
  const layout = { extentBytes: 1000, dataBytes: 2000 };
  expect(divergence(marks(1, 2, 20), new Uint8Array(), layout)).toEqual({
    keepOnly: { extents: 1, bytes: 1000 },
    discardOnly: { extents: 0, bytes: 0 },
    both: { extents: 0, bytes: 0 },
  });
});
