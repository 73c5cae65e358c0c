import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { handOver, takeOver } from '../../../../src/daemon/engine/hand-over.ts';
import { loadLibC } from '../../../../src/daemon/engine/native.ts';
import { PortStream, relay } from '../../../../src/daemon/engine/relay.ts';
import type { Adoption } from '../../../../src/daemon/engine/worker-messages.ts';
import type { ConnectionPort } from '../../../../src/replication/ports.ts';
import { needs } from '../../../support/needs.ts';
import { tcpPair, until, written } from './tcp-pair.ts';
import type { TcpPair } from './tcp-pair.ts';

const ways: [string, ((fd: number) => number) | null][] = [['relayed', null]];
const libc = loadLibC();
if (libc !== null) ways.push(['handed over as a descriptor', libc.dup]);

let pair: TcpPair;
let channel: MessageChannel;
beforeEach(async () => {
  pair = await tcpPair();
  channel = new MessageChannel();
});
afterEach(() => {
  pair.close();
  channel.port1.close();
});

/** Hands over at the first bytes, as the listener does. */
async function adopted(
  dup: ((fd: number) => number) | null,
): Promise<{ connection: ConnectionPort; head: string }> {
  const message = once(channel.port2, 'message') as Promise<[Adoption]>;
  pair.near.once('data', (head: Buffer) => {
    const worker = {
      postMessage: (value: unknown, transfer?: readonly MessagePort[]) =>
        channel.port1.postMessage(value, [...(transfer ?? [])]),
    };
    handOver({ socket: pair.near, head, remoteAddress: '127.0.0.1' }, worker, dup);
  });
  pair.near.resume();
  await written(pair.far, Buffer.from('head'));
  const [adoption] = await message;
  return { connection: takeOver(adoption), head: Buffer.from(adoption.head).toString() };
}

describe.each(ways)('a connection that is %s', (_way, dup) => {
  it('goes on where its head ended, in both directions, byte for byte', async () => {
    const { connection, head } = await adopted(dup);
    expect(head).toBe('head');
    const up = Buffer.alloc(5_000_000, 'up the data link');
    const down = Buffer.alloc(5_000_000, 'down');
    const received: Buffer[] = [];
    const answered: Buffer[] = [];
    connection.onData((chunk) => received.push(Buffer.from(chunk)));
    pair.far.on('data', (chunk: Buffer) => answered.push(chunk));
    connection.send(down);
    await written(pair.far, up);
    await until(
      () => Buffer.concat(received).length === up.length && Buffer.concat(answered).length === down.length,
    );
    expect(Buffer.concat(received).equals(up)).toBe(true);
    expect(Buffer.concat(answered).equals(down)).toBe(true);
    connection.close('done');
    await once(pair.far, 'end');
  });

  it('holds the sender back while nobody takes its data', async () => {
    const { connection } = await adopted(dup);
    let received = 0;
    connection.onData((chunk) => (received += chunk.length));
    connection.pause();
    let taken = 0;
    for (let i = 0; i < 400; i++) pair.far.write(Buffer.alloc(65536), () => (taken += 65536));
    let before = -1;
    while (before !== taken) {
      before = taken;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(taken).toBeLessThan(400 * 65536);
    connection.resume();
    await until(() => received === 400 * 65536);
  });

  it('drains what has arrived at either side of the way', async () => {
    const { connection } = await adopted(dup);
    let received = 0;
    connection.onData((chunk) => (received += chunk.length));
    connection.pause();
    await written(pair.far, Buffer.alloc(1_500_000));
    await connection.drain();
    expect(received).toBe(1_500_000);
  });

  it('ends when the peer ends, after its last byte', async () => {
    const { connection } = await adopted(dup);
    let received = 0;
    const reasons: string[] = [];
    connection.onData((chunk) => (received += chunk.length));
    connection.onClose((reason) => reasons.push(reason));
    pair.far.end(Buffer.alloc(300_000));
    await until(() => reasons.length > 0);
    expect(received).toBe(300_000);
    expect(reasons).toEqual(['the peer closed the connection']);
  });

  it('ends when the peer resets it', async () => {
    const { connection } = await adopted(dup);
    const reasons: string[] = [];
    connection.onData(() => undefined);
    connection.onClose((reason) => reasons.push(reason));
    pair.far.resetAndDestroy();
    await until(() => reasons.length > 0);
    expect(reasons).toHaveLength(1);
  });

  it('still sends its last words when it is closed at once', async () => {
    const { connection } = await adopted(dup);
    const chunks: Buffer[] = [];
    pair.far.on('data', (chunk: Buffer) => chunks.push(chunk));
    connection.onData(() => undefined);
    connection.send(Buffer.from('refused'));
    connection.close('refused');
    await once(pair.far, 'end');
    expect(Buffer.concat(chunks).toString()).toBe('refused');
  });
});

it('a relay settles only when all that had arrived was taken', async () => {
  relay(pair.near, channel.port1);
  const stream = new PortStream(channel.port2);
  // More than the window, so that the relay is blocked while nobody reads.
  await written(pair.far, Buffer.alloc(3_000_000));
  let settled = false;
  const settling = stream.settle().then(() => (settled = true));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(settled).toBe(false);
  let received = 0;
  stream.on('data', (chunk: Buffer) => (received += chunk.length));
  await settling;
  await until(() => received === 3_000_000);
  stream.destroy();
});

describe.skipIf(needs('koffi', 'sh'))('the descriptor of a connection', () => {
  it('is not inherited by programs that are started meanwhile', () => {
    const fd = loadLibC()?.dup(0) ?? -1;
    expect(fd).toBeGreaterThan(2);
    execFileSync('sh', ['-c', `test ! -e /dev/fd/${fd}`]);
    closeSync(fd);
  });
});
