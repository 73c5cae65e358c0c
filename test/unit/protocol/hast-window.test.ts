/** Reading large messages to where their data stays. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../../src/protocol/buffer-pool.ts';
import { encodeFrame, FrameReader } from '../../../src/protocol/hast-message.ts';
import type { Frame } from '../../../src/protocol/hast-message.ts';

const MIB = 1024 * 1024;
const LIMITS = { maxNvBytes: 512, maxDataBytes: 4096 };

function message(seq: number, bytes: number): Buffer {
  const data = Buffer.alloc(bytes, seq);
  data[bytes - 1] = 255;
  const fields = [{ name: 'seq', type: 'uint64', value: seq } as const];
  return Buffer.concat(encodeFrame(2, fields, bytes === 0 ? undefined : data));
}

function reader(): FrameReader {
  const made = new FrameReader(LIMITS);
  made.admit(MIB, new BufferPool(4 * MIB));
  return made;
}

/** As a socket is read that has `most` bytes at a time. @returns the frames, and bytes that had to be copied */
function read(
  to: FrameReader,
  stream: Buffer,
  most: (turn: number) => number,
): { frames: Frame[]; copied: number } {
  const frames: Frame[] = [];
  let copied = 0;
  for (let at = 0, turn = 0; at < stream.length; turn += 1) {
    const where = to.window();
    const room = typeof where === 'number' ? Math.min(where, 256 * 1024) : where.length;
    const bytes = stream.subarray(at, at + Math.max(1, Math.min(room, most(turn))));
    at += bytes.length;
    if (typeof where === 'number') copied += bytes.length;
    const chunk = typeof where === 'number' ? Buffer.from(bytes) : where.subarray(0, bytes.copy(where));
    frames.push(...to.push(chunk));
  }
  return { frames, copied };
}

const told = ({ nv, data }: Frame): [number | undefined, number, boolean] => [
  nv.size('seq'),
  data?.length ?? 0,
  data === null || data.equals(message(nv.size('seq') ?? 0, data.length).subarray(-data.length)),
];

describe('a row of large messages', () => {
  it('lies where it was read to, but for its headers and the first', () => {
    const stream = Buffer.concat([1, 2, 3, 4].map((seq) => message(seq, MIB)));
    const { frames, copied } = read(reader(), stream, () => MIB);
    expect(frames.map(told)).toEqual([1, 2, 3, 4].map((seq) => [seq, MIB, true]));
    expect(copied).toBeLessThan(256 * 1024 + 4 * 4096);
  });

  it('uses memory again that was released, and none that was not', () => {
    const to = reader();
    const next = (seq: number): Frame | undefined => read(to, message(seq, MIB), () => MIB).frames[0];
    const [first, second] = [next(1), next(2)];
    expect(first?.data?.buffer).not.toBe(second?.data?.buffer);
    first?.memory?.release();
    expect(next(3)?.data?.buffer).toBe(first?.data?.buffer);
    expect(second && told(second)).toEqual([2, MIB, true]);
  });

  it('comes whole in pieces of any size, among small ones', () => {
    const sizes = fc.array(fc.constantFrom(0, 8, 4096, 131_072, 131_080, 300_000, MIB), { maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.array(fc.integer({ min: 1, max: MIB }), { minLength: 1 }), (lengths, pieces) => {
        const stream = Buffer.concat(lengths.map((length, seq) => message(seq, length)));
        const { frames } = read(reader(), stream, (turn) =>
          Math.max(2000, pieces[turn % pieces.length] ?? 1),
        );
        expect(frames.map(told)).toEqual(lengths.map((length, seq) => [seq, length, true]));
      }),
      { numRuns: 60 },
    );
  });

  it('is not waited for in vain: a small message behind it is read at once, and then more than a header', () => {
    const to = reader();
    read(to, message(1, MIB), () => MIB);
    expect(to.window()).toBe(4096);
    expect(to.push(message(2, 0))).toHaveLength(1);
    expect(to.window()).toBe(Infinity);
  });

  it('takes memory for what was announced within the limit only', () => {
    expect(() => reader().push(message(1, MIB + 1).subarray(0, 100))).toThrow(`1 to ${MIB}`);
    expect(() => new FrameReader(LIMITS).push(message(1, 4097).subarray(0, 100))).toThrow('1 to 4096');
  });
});
