import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { SendSlab } from '../../../src/device/send-slab.ts';

/** A stream that keeps what it was given until it is asked to go on. */
class SlowStream extends Writable {
  readonly writes: Buffer[][] = [];
  #waiting: () => void = () => undefined;

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.writes.push([chunk]);
    this.#waiting = done;
  }

  override _writev(chunks: readonly { chunk: Buffer }[], done: () => void): void {
    this.writes.push(chunks.map(({ chunk }) => chunk));
    this.#waiting = done;
  }

  goOn(): void {
    this.#waiting();
  }
}

describe('sending many small pieces', () => {
  it('makes one of them, in order, and leaves large ones where they are', () => {
    const stream = new SlowStream();
    const large = Buffer.alloc(100_000, 'L');
    const parts = [Buffer.from('a'), Buffer.from('b'), large, Buffer.from('c')];
    new SendSlab().send(stream, parts, () => undefined);
    const [pieces = []] = stream.writes;
    expect(pieces.map((piece) => piece.length)).toEqual([2, 100_000, 1]);
    expect(pieces[1]).toBe(large);
    expect(Buffer.concat(pieces).equals(Buffer.concat(parts))).toBe(true);
  });

  it('does not overwrite what the stream still holds, and uses the memory again afterwards', async () => {
    const stream = new SlowStream();
    const slab = new SendSlab();
    const send = (text: string): Promise<void> =>
      new Promise((resolve) => slab.send(stream, [Buffer.from(text), Buffer.from('.')], resolve));
    const first = send('one');
    void send('two');
    expect(stream.writes.flat().join()).toBe('one.');
    stream.goOn();
    await first;
    expect(stream.writes.flat().join()).toBe('one.,two.');
    stream.goOn();
    void send('six');
    expect(stream.writes.flat().join()).toBe('six.,two.,six.');
  });

  it('sends more than its memory holds', () => {
    const stream = new SlowStream();
    const parts = Array.from({ length: 100 }, (_, index) => Buffer.alloc(20_000, index));
    new SendSlab().send(stream, parts, () => undefined);
    expect(Buffer.concat(stream.writes.flat()).equals(Buffer.concat(parts))).toBe(true);
  });
});
