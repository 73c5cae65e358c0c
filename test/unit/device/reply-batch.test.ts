import { Writable } from 'node:stream';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ReplyBatch } from '../../../src/device/reply-batch.ts';

const reply = (cookieLow: number, error = 0): [number, number, number] => [error, 0, cookieLow];

/** A socket that keeps what it is given until take(), as when the client reads nothing. */
class SlowSocket {
  readonly pieces: Buffer[] = [];
  #waiting: (() => void)[] = [];
  readonly stream = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, done) => {
      this.pieces.push(chunk);
      this.#waiting.push(done);
    },
  }) as unknown as Socket;

  take(): string[] {
    const taken = this.pieces.splice(0).map((piece) => piece.toString('hex'));
    for (const done of this.#waiting.splice(0)) done();
    return taken;
  }
}

/** A socket that takes everything at once, and what it has taken. */
function quickSocket(): [Socket, string[]] {
  const taken: string[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      taken.push(chunk.toString('hex'));
      done();
    },
  });
  return [stream as unknown as Socket, taken];
}

const header = (cookie: number, error = 0): string =>
  `67446698${error.toString(16).padStart(8, '0')}00000000${cookie.toString(16).padStart(8, '0')}`;

describe('a batch of replies', () => {
  it('is one piece when the answers come in the order of their rooms', () => {
    const batch = new ReplyBatch();
    const socket = new SlowSocket();
    const rooms = [batch.room(2), batch.room(2)];
    for (const [index, room] of rooms.entries()) {
      room.payload.fill(index + 1);
      batch.add(...reply(index), room);
    }
    batch.add(...reply(9), null);
    expect(batch.bytes).toBe(3 * 16 + 4);
    batch.flush(socket.stream);
    expect(socket.take()).toEqual([`${header(0)}0101${header(1)}0202${header(9)}`]);
  });

  it('leaves out the room of an answer that is still to come, and of an error', () => {
    const batch = new ReplyBatch();
    const socket = new SlowSocket();
    const [late, failed, good] = [batch.room(2), batch.room(2), batch.room(2)];
    good.payload.fill(3);
    batch.add(...reply(3), good);
    batch.add(...reply(2, 5), failed);
    batch.flush(socket.stream);
    late.payload.fill(1);
    batch.add(...reply(1), late);
    batch.flush(socket.stream);
    const sent: string[] = [];
    while (socket.pieces.length > 0) sent.push(...socket.take());
    expect(sent.join('')).toBe(`${header(3)}0303${header(2, 5)}${header(1)}0101`);
  });

  it('uses the memory of a large answer again when it was sent, and not before', async () => {
    const batch = new ReplyBatch();
    const socket = new SlowSocket();
    const first = batch.room(100_000);
    batch.add(...reply(1), first);
    batch.flush(socket.stream);
    expect(batch.room(100_000).memory).not.toBe(first.memory);
    socket.take();
    await new Promise((resolve) => setImmediate(resolve));
    expect(batch.room(100_000).memory).toBe(first.memory);
    expect(batch.room(100_000).memory).not.toBe(first.memory);
  });

  it('does not give out again the room of an answer that is still to come', () => {
    const batch = new ReplyBatch();
    const [socket, taken] = quickSocket();
    const late = batch.room(2);
    batch.add(...reply(1), null);
    batch.flush(socket);
    const next = batch.room(2);
    late.payload.fill(2);
    next.payload.fill(3);
    batch.add(...reply(2), late);
    batch.add(...reply(3), next);
    batch.flush(socket);
    expect(taken.join('')).toBe(`${header(1)}${header(2)}0202${header(3)}0303`);
  });

  it('gives out the same rooms again when the socket has taken all, and others where lengths differ', () => {
    const batch = new ReplyBatch();
    const [socket, taken] = quickSocket();
    const rooms = [2, 2, 2].map((length, index) => {
      const room = batch.room(length);
      room.payload.fill(index + 1);
      batch.add(...reply(index), room);
      return room;
    });
    batch.flush(socket);
    const first = batch.room(2);
    const second = batch.room(4);
    const third = batch.room(2);
    expect(first).toBe(rooms[0]);
    first.payload.fill(4);
    second.payload.fill(5);
    third.payload.fill(6);
    for (const [index, room] of [first, second, third].entries()) batch.add(...reply(index), room);
    batch.flush(socket);
    expect(taken).toEqual([
      `${header(0)}0101${header(1)}0202${header(2)}0303`,
      `${header(0)}0404${header(1)}05050505${header(2)}0606`,
    ]);
  });

  it('does not touch what the socket has not sent yet', () => {
    const batch = new ReplyBatch();
    const socket = new SlowSocket();
    batch.add(...reply(1), null);
    batch.flush(socket.stream);
    batch.add(...reply(2), null);
    batch.flush(socket.stream);
    expect(socket.take()).toEqual([header(1)]);
    expect(socket.take()).toEqual([header(2)]);
  });
});
