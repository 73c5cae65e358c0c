import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { AddressInfo, Socket } from 'node:net';
import { dataConnector } from '../../../../src/daemon/engine/connector.ts';
import { DataConnection } from '../../../../src/daemon/engine/data-connection.ts';
import type { ConnectionPort } from '../../../../src/replication/ports.ts';
import { tcpPair, until, written } from './tcp-pair.ts';
import type { TcpPair } from './tcp-pair.ts';

let pair: TcpPair;
beforeEach(async () => {
  pair = await tcpPair();
});
afterEach(() => pair.close());

function collect(connection: ConnectionPort): { bytes: () => Buffer; reasons: string[] } {
  const chunks: Buffer[] = [];
  const reasons: string[] = [];
  connection.onData((chunk) => chunks.push(Buffer.from(chunk)));
  connection.onClose((reason) => reasons.push(reason));
  return { bytes: () => Buffer.concat(chunks), reasons };
}
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

describe('data connection', () => {
  it('sends parts in order and counts what waits', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    const all = readAll(pair.far);
    const sent: Buffer[] = [];
    const send = (...parts: Buffer[]): number => {
      sent.push(...parts);
      return connection.send(...parts);
    };
    // Nobody reads yet: the kernel takes so much, then it waits here.
    pair.far.pause();
    for (let i = 0; connection.pendingBytes === 0; i++)
      send(Buffer.from(`head ${i}`), Buffer.alloc(100_000, i));
    const before = connection.pendingBytes;
    expect(send(Buffer.from('head'), Buffer.from('data'))).toBe(before + 8);
    expect(send(Buffer.from('more'))).toBe(before + 12);
    expect(connection.pendingBytes).toBe(before + 12);
    pair.far.resume();
    await until(() => connection.pendingBytes === 0);
    connection.close('done');
    expect((await all).equals(Buffer.concat(sent))).toBe(true);
  });

  it('delivers nothing before somebody listens, then everything', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    await written(pair.far, Buffer.from('early'));
    const got = collect(connection);
    await until(() => got.bytes().toString() === 'early');
  });

  it('stops delivering while paused', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    const got = collect(connection);
    connection.pause();
    await written(pair.far, Buffer.from('held'));
    await once(setTimeoutEmitter(30), 'over');
    expect(got.bytes()).toHaveLength(0);
    connection.resume();
    await until(() => got.bytes().toString() === 'held');
  });

  it('drains all that has arrived, even while paused, in chunks far above one read', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    const got = collect(connection);
    connection.pause();
    const sent = Buffer.alloc(1_500_000, 'abcdefg');
    await written(pair.far, sent);
    await connection.drain();
    expect(got.bytes().equals(sent)).toBe(true);
    await written(pair.far, Buffer.from('after'));
    await once(setTimeoutEmitter(30), 'over');
    expect(got.bytes()).toHaveLength(sent.length);
  });

  it('drains although the listener asks to pause, which holds afterwards', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    let received = 0;
    connection.onData((chunk) => {
      received += chunk.length;
      connection.pause();
    });
    connection.pause();
    await written(pair.far, Buffer.alloc(1_000_000));
    await connection.drain();
    expect(received).toBe(1_000_000);
    expect(pair.near.isPaused()).toBe(true);
  });

  it('drains to the end of a connection that the peer has closed', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    const got = collect(connection);
    connection.pause();
    pair.far.end(Buffer.alloc(200_000, 1));
    await once(pair.far, 'finish');
    await connection.drain();
    expect(got.bytes()).toHaveLength(200_000);
    await until(() => got.reasons.length > 0);
    expect(got.reasons).toEqual(['the peer closed the connection']);
    await connection.drain();
  });

  it('does not drain for ever when the peer never stops sending', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    collect(connection);
    const block = Buffer.alloc(65536);
    const pump = (): void => {
      if (!pair.far.destroyed) pair.far.write(block, () => setImmediate(pump));
    };
    pump();
    pump();
    const started = performance.now();
    await connection.drain();
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it('tells when it can take more again', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1', { lowWaterBytes: 100_000 });
    let drained = 0;
    connection.onDrain(() => drained++);
    for (let i = 0; i < 100; i++) connection.send(Buffer.alloc(65536));
    expect(connection.pendingBytes).toBeGreaterThan(100_000);
    expect(drained).toBe(0);
    let received = 0;
    pair.far.on('data', (chunk: Buffer) => (received += chunk.length));
    await until(() => received === 6_553_600);
    expect(drained).toBe(1);
    expect(connection.pendingBytes).toBeLessThan(100_000);
  });

  it('says once why it ended: its own reason', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    const got = collect(connection);
    const all = readAll(pair.far);
    connection.send(Buffer.from('last words'));
    connection.close('we had enough');
    connection.close('again');
    expect(connection.send(Buffer.from('too late'))).toBe(0);
    expect((await all).toString()).toBe('last words');
    await until(() => pair.near.destroyed);
    expect(got.reasons).toEqual(['we had enough']);
  });

  it('says once why it ended: a reset', async () => {
    const got = collect(new DataConnection(pair.near, '127.0.0.1'));
    pair.far.resetAndDestroy();
    await until(() => got.reasons.length > 0);
    expect(got.reasons).toEqual(['ECONNRESET']);
  });

  it('tells a listener that comes late', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    connection.onData(() => undefined);
    connection.close('early end');
    await until(() => pair.near.destroyed || pair.near.writableFinished);
    const reason = await new Promise((resolve) => {
      connection.onClose(resolve);
    });
    expect(reason).toBe('early end');
  });

  it('does not deliver after it was closed, and gives up a peer that does not read', async () => {
    const connection = new DataConnection(pair.near, '127.0.0.1');
    const got = collect(connection);
    for (let i = 0; i < 200; i++) connection.send(Buffer.alloc(65536));
    connection.close('stop');
    await written(pair.far, Buffer.from('ignored'));
    await until(() => pair.near.destroyed);
    expect(got.bytes()).toHaveLength(0);
  });
});

describe('connector', () => {
  it('connects to the remote from the source', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const connector = dataConnector(`tcp4://127.0.0.1:${port}`, 'tcp4://127.0.0.5');
    const connection = await connector.connect(5000, new AbortController().signal);
    const [socket] = await accepted;
    expect(socket.remoteAddress).toBe('127.0.0.5');
    expect(connection.remoteAddress).toBe('127.0.0.1');
    const got = collect(connection);
    const sent = Buffer.from(Uint32Array.from({ length: 1_000_000 }, (_, index) => index).buffer);
    await written(socket, sent);
    await connection.drain();
    expect(got.bytes().equals(sent)).toBe(true);
    connection.close('done');
    socket.destroy();
    server.close();
  });

  it('says that nobody is there, that it took too long, or that it was given up', async () => {
    const never = new AbortController().signal;
    await expect(dataConnector('127.0.0.1:1', null).connect(5000, never)).rejects.toMatchObject({
      code: 'connect-failed',
      message: expect.stringMatching(/127\.0\.0\.1:1 .*ECONNREFUSED/) as string,
    });
    // A thread that listens and then sleeps: its queue is full after two.
    const sleeper = new Worker(
      `const { parentPort } = require('node:worker_threads');
       const server = require('node:net').createServer();
       server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
         parentPort.postMessage(server.address().port);
         Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
       });`,
      { eval: true },
    );
    const [port] = (await once(sleeper, 'message')) as [number];
    await new Promise((resolve) => setTimeout(resolve, 50));
    const connector = dataConnector(`127.0.0.1:${port}`, null);
    await expect(connector.connect(5000, AbortSignal.abort())).rejects.toMatchObject({
      code: 'connect-aborted',
    });
    const fillers = [1, 2, 3].map(() => connect(port, '127.0.0.1'));
    await once(fillers[1] ?? sleeper, 'connect');
    await expect(connector.connect(100, never)).rejects.toMatchObject({ code: 'connect-timeout' });
    const abort = new AbortController();
    const pending = connector.connect(5000, abort.signal);
    setTimeout(() => abort.abort(), 20);
    await expect(pending).rejects.toMatchObject({ code: 'connect-aborted' });
    for (const filler of fillers) filler.on('error', () => undefined).destroy();
    await sleeper.terminate();
    expect(() => dataConnector('tcp4://:1', null)).toThrow(
      expect.objectContaining({ code: 'address-invalid' }) as Error,
    );
  });
});

/** A real pause: what must not happen has time to happen. */
function setTimeoutEmitter(ms: number): EventTarget {
  const target = new EventTarget();
  setTimeout(() => target.dispatchEvent(new Event('over')), ms);
  return target;
}
