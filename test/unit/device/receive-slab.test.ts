import { describe, expect, it } from 'vitest';
import { joined, ReceiveSlab } from '../../../src/device/receive-slab.ts';

/** What a socket does with the slab. */
function arrive(slab: ReceiveSlab, bytes: Buffer): Buffer {
  bytes.copy(slab.window());
  return slab.take(bytes.length);
}

describe('memory that a socket reads into', () => {
  it('joins what arrived one after the other without copying', () => {
    const slab = new ReceiveSlab();
    const whole = joined(arrive(slab, Buffer.from('ab')), arrive(slab, Buffer.from('cd')));
    expect(whole.toString()).toBe('abcd');
    expect(whole.buffer).toBe(slab.window().buffer);
  });

  it('joins by copying what does not lie together', () => {
    const slab = new ReceiveSlab();
    const first = arrive(slab, Buffer.from('ab'));
    arrive(slab, Buffer.from('--'));
    const whole = joined(first, arrive(slab, Buffer.from('cd')));
    expect(whole.toString()).toBe('abcd');
    expect(whole.buffer).not.toBe(first.buffer);
  });

  it('never gives out memory twice, however much arrives', () => {
    const slab = new ReceiveSlab();
    const chunks = Array.from({ length: 40 }, (_, index) => arrive(slab, Buffer.alloc(100_000, index)));
    for (const [index, chunk] of chunks.entries()) {
      expect(chunk.every((byte) => byte === index)).toBe(true);
    }
  });
});
