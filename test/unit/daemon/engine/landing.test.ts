/** A real socket that is read to where its reader wants it. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataConnector } from '../../../../src/daemon/engine/connector.ts';
import { BufferPool } from '../../../../src/protocol/buffer-pool.ts';
import { encodeFrame, FrameReader } from '../../../../src/protocol/hast-message.ts';
import type { Frame } from '../../../../src/protocol/hast-message.ts';
import type { ConnectionPort } from '../../../../src/replication/ports.ts';
import { until } from './tcp-pair.ts';

const MIB = 1024 * 1024;
let server: Server;
let far: Socket;
let connection: ConnectionPort;

beforeEach(async () => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const [accepted, near] = await Promise.all([
    once(server, 'connection'),
    dataConnector(`tcp4://127.0.0.1:${port}`, null).connect(5000, new AbortController().signal),
  ]);
  [far, connection] = [accepted[0] as Socket, near];
});
afterEach(() => {
  connection.close('done');
  far.destroy();
  server.close();
});

function message(seq: number, bytes: number): Buffer {
  const fields = [{ name: 'seq', type: 'uint64', value: seq } as const];
  return Buffer.concat(encodeFrame(2, fields, Buffer.alloc(bytes, seq)));
}

describe('a connection whose reader says where what comes is to lie', () => {
  it('reads large messages to memory of their own, and small ones between them', async () => {
    const reader = new FrameReader({ maxNvBytes: 512, maxDataBytes: 4096 });
    reader.admit(MIB, new BufferPool(2 * MIB));
    const frames: Frame[] = [];
    let elsewhere = 0;
    let given: Buffer | number = 0;
    connection.land?.(() => (given = reader.window()));
    connection.onData((chunk) => {
      if (typeof given === 'number' || given.buffer !== chunk.buffer) elsewhere += chunk.length;
      frames.push(...reader.push(chunk));
    });
    const sizes = [MIB, 700_000, 4096, MIB, MIB, 131_072, MIB];
    for (const [seq, bytes] of sizes.entries()) far.write(message(seq, bytes));
    await until(() => frames.length === sizes.length);
    for (const [seq, { data }] of frames.entries())
      expect(data?.equals(Buffer.alloc(sizes[seq] ?? 0, seq))).toBe(true);
    expect(elsewhere).toBeLessThan(4 * 256 * 1024);
  });

  it('asks for the place of the next bytes only when the last were taken', async () => {
    const memory = Buffer.alloc(1000);
    let at = 0;
    connection.land?.(() => (at < memory.length ? memory.subarray(at) : Infinity));
    const chunks: Buffer[] = [];
    connection.onData((chunk) => {
      if (chunk.buffer === memory.buffer) at += chunk.length;
      else chunks.push(Buffer.from(chunk));
    });
    // What the socket was given before anybody asked is used up first.
    far.write(Buffer.alloc(10, 1));
    await until(() => chunks.length === 1);
    far.write(Buffer.concat([Buffer.alloc(1000, 2), Buffer.alloc(5, 3)]));
    await until(() => chunks.length === 2);
    expect(memory.equals(Buffer.alloc(1000, 2))).toBe(true);
    expect(chunks[1]).toEqual(Buffer.alloc(5, 3));
  });
});
