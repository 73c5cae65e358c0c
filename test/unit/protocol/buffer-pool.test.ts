import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../../src/protocol/buffer-pool.ts';

const MIB = 1024 * 1024;

describe('memory for large payloads', () => {
  it('is used again for a payload of about the same length', () => {
    const pool = new BufferPool(8 * MIB);
    const first = pool.take(MIB - 5000);
    pool.give(first);
    const next = pool.take(MIB);
    expect(next.length).toBe(MIB);
    expect(next.buffer).toBe(first.buffer);
    expect(pool.take(MIB).buffer).not.toBe(first.buffer);
  });

  it('keeps no more than its bound', () => {
    const pool = new BufferPool(2 * MIB);
    const taken = Array.from({ length: 4 }, () => pool.take(MIB));
    for (const buffer of taken) pool.give(buffer);
    const known = new Set(taken.map(({ buffer }) => buffer));
    const again = Array.from({ length: 4 }, () => pool.take(MIB));
    expect(again.filter(({ buffer }) => known.has(buffer))).toHaveLength(2);
  });

  it('lets go of memory of another size', () => {
    const pool = new BufferPool(8 * MIB);
    const first = pool.take(MIB);
    pool.give(first);
    pool.give(pool.take(MIB / 4));
    expect(pool.take(MIB).buffer).not.toBe(first.buffer);
  });

  it('never shares memory between short payloads', () => {
    const pool = new BufferPool(8 * MIB);
    const short = pool.take(512);
    pool.give(short);
    expect(short.buffer.byteLength).toBe(512);
    expect(pool.take(512).buffer).not.toBe(short.buffer);
  });
});
