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

  it('uses what nobody holds again, and only a few pieces of memory however much arrives', () => {
    const slab = new ReceiveSlab();
    slab.reuse();
    const memory = new Set(Array.from({ length: 100 }, () => arrive(slab, Buffer.alloc(200_000)).buffer));
    expect(memory.size).toBe(2);
  });

  it('leaves alone what is held, until it is released', () => {
    const slab = new ReceiveSlab();
    slab.reuse();
    const kept = arrive(slab, Buffer.alloc(1000, 7));
    const held = slab.hold(kept);
    const others = Array.from({ length: 30 }, () => arrive(slab, Buffer.alloc(200_000)).buffer);
    expect(kept.every((byte) => byte === 7)).toBe(true);
    expect(others.slice(10)).not.toContain(kept.buffer);
    held?.release();
    const later = Array.from({ length: 10 }, () => arrive(slab, Buffer.alloc(200_000)).buffer);
    expect(later).toContain(kept.buffer);
  });

  it('is used again at once when the reader needs nothing of it, but not while something is held', () => {
    const slab = new ReceiveSlab();
    slab.reuse();
    const first = arrive(slab, Buffer.from('ab'));
    slab.rewind();
    const second = arrive(slab, Buffer.from('cd'));
    expect([second.buffer, second.byteOffset]).toEqual([first.buffer, first.byteOffset]);
    const holder = slab.holderOf(second);
    holder?.hold();
    slab.rewind();
    const third = arrive(slab, Buffer.from('ef'));
    expect([second.toString(), third.byteOffset]).toEqual(['cd', second.byteOffset + 2]);
    holder?.release();
    slab.rewind();
    expect(arrive(slab, Buffer.from('gh')).byteOffset).toBe(first.byteOffset);
  });

  it('that was given out before it was told to is not used again by going back either', () => {
    const slab = new ReceiveSlab();
    const early = arrive(slab, Buffer.from('ab'));
    slab.rewind();
    slab.reuse();
    slab.rewind();
    arrive(slab, Buffer.from('cd'));
    expect(early.toString()).toBe('ab');
  });

  it('is never left by half a message, which goes with what comes behind it', () => {
    const slab = new ReceiveSlab();
    slab.reuse();
    let rest = arrive(slab, Buffer.alloc(1000, 1));
    const copies = new Set([rest.buffer]);
    let moves = 0;
    for (let round = 2; round < 200; round += 1) {
      const carried = slab.carry(rest);
      if (carried !== rest) moves += 1;
      const whole = joined(carried, arrive(slab, Buffer.alloc(30_000, round)));
      expect([whole[0], whole[999], whole[1000]]).toEqual([round - 1, round - 1, round]);
      rest = whole.subarray(30_000);
      copies.add(whole.buffer);
    }
    expect(copies.size).toBe(2);
    expect(moves).toBeLessThan(12);
  });

  it('does not overwrite half a message that nobody could hold yet', () => {
    const slab = new ReceiveSlab();
    slab.reuse();
    for (let round = 0; round < 20; round += 1) {
      const half = arrive(slab, Buffer.alloc(100_000, round));
      for (let more = 0; more < 8; more += 1) arrive(slab, Buffer.alloc(100_000, 255));
      expect(half.every((byte) => byte === round)).toBe(true);
    }
  });

  it('never uses memory again that was given out before it was told to', () => {
    const slab = new ReceiveSlab();
    const early = arrive(slab, Buffer.alloc(1000, 7));
    slab.reuse();
    expect(slab.hold(Buffer.alloc(10))).toBeNull();
    for (let more = 0; more < 60; more += 1) arrive(slab, Buffer.alloc(200_000, 255));
    expect(early.every((byte) => byte === 7)).toBe(true);
  });

  it('leaves memory that is held for ever to the garbage collector', () => {
    const slab = new ReceiveSlab();
    slab.reuse();
    const chunks = Array.from({ length: 60 }, (_, index) => {
      const chunk = arrive(slab, Buffer.alloc(200_000, index));
      slab.hold(chunk);
      return chunk;
    });
    for (const [index, chunk] of chunks.entries()) expect(chunk.every((byte) => byte === index)).toBe(true);
  });
});
