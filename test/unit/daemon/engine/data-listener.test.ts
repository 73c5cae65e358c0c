import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DataListener } from '../../../../src/daemon/engine/data-listener.ts';
import type { DataListenerOptions } from '../../../../src/daemon/engine/data-listener.ts';
import type { AcceptedConnection } from '../../../../src/daemon/engine/hand-over.ts';
import { FrameReader } from '../../../../src/protocol/hast-message.ts';
import { freeTcpPort } from '../../../support/free-ports.ts';
import { vectorBytes } from '../../protocol/hast-vectors.ts';
import { until, written } from './tcp-pair.ts';

/** What a real primary says first, for resource "test". */
const FIRST = vectorBytes('streams/split-brain/conn1_p2s.bin').subarray(0, 57);
const UNKNOWN = vectorBytes('fakeprimary/unknown-resource/conn1_p2s.bin');

let listener: DataListener | null = null;
const clients: Socket[] = [];
const taken: { name: string; connection: AcceptedConnection }[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const { connection } of taken.splice(0)) connection.socket.destroy();
  await listener?.close();
  listener = null;
});

async function start(
  remotes: Record<string, string | null>,
  over: Partial<DataListenerOptions> = {},
): Promise<void> {
  listener = await DataListener.start({
    listen: [
      `tcp4://127.0.0.1:${await freeTcpPort('127.0.0.1')}`,
      `tcp4://127.0.0.2:${await freeTcpPort('127.0.0.2')}`,
    ],
    resources: () =>
      Object.entries(remotes).map(([name, remote]) => ({
        name,
        remote,
        adopt: (connection) => {
          connection.socket.removeAllListeners('data');
          connection.socket.pause();
          taken.push({ name, connection });
        },
      })),
    ...over,
  });
}
async function client(from = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port: listener?.ports[0] ?? 0, host: '127.0.0.1', localAddress: from });
  clients.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}
async function answerTo(socket: Socket): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  const [frame] = new FrameReader({ maxNvBytes: 512, maxDataBytes: 0 }).push(Buffer.concat(chunks));
  return frame?.version === 2 ? frame.nv.string('errmsg') : undefined;
}

describe('data listener', () => {
  it('hands a connection to its resource with all that was read, whatever the pieces', async () => {
    await start({ test: '127.0.0.1', other: '10.0.0.1' });
    expect(listener?.ports).toHaveLength(2);
    const whole = await client();
    await written(whole, FIRST);
    await until(() => taken.length === 1);
    const slow = await client();
    for (const byte of FIRST) await written(slow, Buffer.from([byte]));
    await until(() => taken.length === 2);
    for (const { name, connection } of taken) {
      expect(name).toBe('test');
      expect(connection.head.equals(FIRST)).toBe(true);
      expect(connection.remoteAddress).toBe('127.0.0.1');
    }
    expect(listener?.counters).toMatchObject({ accepted: 2, handedOver: 2, refused: 0 });
  });

  it('answers as hastd for a resource that is not configured', async () => {
    await start({ test: '127.0.0.1' });
    const socket = await client();
    socket.write(UNKNOWN);
    expect(await answerTo(socket)).toBe('Resource not configured.');
  });

  it('answers as hastd when the address is another resource’s', async () => {
    await start({ test: '127.0.0.9', mine: '127.0.0.1' });
    const socket = await client();
    socket.write(FIRST);
    expect(await answerTo(socket)).toBe('No access to the resource.');
    expect(taken).toEqual([]);
  });

  it('tells strangers why, closes, and counts them', async () => {
    await start({ test: 'tcp4://127.0.0.9:8457', none: null });
    const socket = await client();
    socket.write(FIRST);
    expect(await answerTo(socket)).toBe('Address 127.0.0.1 is not the remote address of any resource.');
    expect(listener?.counters).toMatchObject({ strangers: 1, handedOver: 0 });
    const friend = await client('127.0.0.9');
    await written(friend, FIRST);
    await until(() => taken.length === 1);
  });

  it('tells a node of a later version why it is not understood', async () => {
    const reasons: string[] = [];
    await start({ test: '127.0.0.1' }, { onRefused: (_address, reason) => reasons.push(reason) });
    const socket = await client();
    socket.write(vectorBytes('fakeprimary/header-version-3/conn1_p2s.bin'));
    expect(await answerTo(socket)).toBe(
      'the peer speaks version 3 of HAST, this node up to 2: install the same version on both nodes',
    );
    expect(reasons).toEqual([expect.stringContaining('version 3')]);
  });

  it.each([
    ['noise', Buffer.alloc(64, 0xa5)],
    ['fields without end', Buffer.from([2, 0xff, 0xff, 0xff, 0x7f])],
    ['a web request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ])('closes without a word on %s', async (_what, bytes) => {
    const reasons: string[] = [];
    await start({ test: '127.0.0.1' }, { onRefused: (_address, reason) => reasons.push(reason) });
    const socket = await client();
    socket.write(bytes);
    expect(await answerTo(socket)).toBeUndefined();
    expect(reasons).toHaveLength(1);
    expect(listener?.counters).toMatchObject({ refused: 1 });
  });

  it('waits for a first frame no longer than it should', async () => {
    await start({ test: '127.0.0.1' }, { firstFrameTimeoutMs: 50 });
    const socket = await client();
    socket.write(FIRST.subarray(0, 20));
    expect(await answerTo(socket)).toBeUndefined();
    const done = await client();
    await written(done, FIRST);
    await until(() => taken.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(taken[0]?.connection.socket.destroyed).toBe(false);
  });

  it('lets a few wait; one too many takes the place of the one that waited longest, and is served', async () => {
    await start({ test: '127.0.0.1' }, { maxPending: 2 });
    const waiting = [await client(), await client()];
    await until(() => listener?.counters.accepted === 2);
    const third = await client();
    const [oldest] = waiting;
    if (oldest !== undefined) expect(await answerTo(oldest)).toBeUndefined();
    expect(listener?.counters.overflow).toBe(1);
    await written(third, FIRST);
    await until(() => taken.length === 1);
    await written(waiting[1] ?? third, FIRST);
    await until(() => taken.length === 2);
  });

  it('closes those that wait, and not those that it handed over', async () => {
    await start({ test: '127.0.0.1' });
    const over = await client();
    await written(over, FIRST);
    await until(() => taken.length === 1);
    const waiting = await client();
    const closed = once(waiting, 'close');
    const [first] = taken;
    const closing = listener?.close();
    await closed;
    expect(first?.connection.socket.destroyed).toBe(false);
    first?.connection.socket.destroy();
    await closing;
  });

  it('listens on IPv6 and IPv4 at once, and on what hastd listens by default', async () => {
    const port = await freeTcpPort('0.0.0.0');
    const other = await freeTcpPort('::1');
    const addresses = [`tcp4://0.0.0.0:${port}`, `tcp6://[::]:${port}`, `[::1]:${other}`];
    await start({ test: '::1', other: '127.0.0.1' }, { listen: addresses });
    for (const [index, host] of ['127.0.0.1', '::1', '::1'].entries()) {
      const socket = connect({ port: listener?.ports[index] ?? 0, host });
      clients.push(socket);
      await once(socket, 'connect');
      if (host === '127.0.0.1') continue;
      await written(socket, FIRST);
      await until(() => taken.length === index);
      expect(taken.at(-1)).toMatchObject({ name: 'test', connection: { remoteAddress: '::1' } });
    }
  });

  it('listens elsewhere when it is told so, keeps what it handed over, and listens as before when it cannot', async () => {
    await start({ test: '127.0.0.1' });
    const old = await client();
    await written(old, FIRST);
    await until(() => taken.length === 1);
    const [first = 0, second = 0] = listener?.ports ?? [];
    const narrow = `tcp4://127.0.0.1:${second}`;
    const third = await freeTcpPort('127.0.0.1');
    await listener?.relisten([narrow, `tcp4://127.0.0.1:${third}`]);
    expect(listener?.ports).toEqual([second, third]);
    await expect(once(connect({ port: first, host: '127.0.0.1' }), 'connect')).rejects.toThrow(
      'ECONNREFUSED',
    );
    expect(taken[0]?.connection.socket.destroyed).toBe(false);
    await expect(listener?.relisten(['tcp4://192.0.2.77'])).rejects.toMatchObject({ code: 'listen-failed' });
    expect(listener?.ports).toEqual([second, third]);
    const again = await client();
    await written(again, FIRST);
    await until(() => taken.length === 2);
  });

  it('says which address it cannot listen on', async () => {
    await expect(start({}, { listen: ['tcp4://192.0.2.1:8457'] })).rejects.toMatchObject({
      code: 'listen-failed',
      message: expect.stringMatching(/192\.0\.2\.1:8457 \(EADDRNOTAVAIL\)/) as string,
    });
  });
});
