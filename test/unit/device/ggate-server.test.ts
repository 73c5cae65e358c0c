import { describe, expect, it, onTestFinished } from 'vitest';
import { epochExportName } from '../../../src/device/nbd-handshake.ts';
import { createGgateServer, type GgateServer } from '../../../src/device/ggate-server.ts';
import { GgateFlag, encodeGgateHeader, encodeGgateVersion } from '../../../src/protocol/ggate.ts';
import { Bytes, Ggatec, ggateHandshake } from '../../support/ggatec.ts';
import { MemoryDevice } from './memory-device.ts';
import { EPOCH, content, until } from './nbd-fixture.ts';

const MIB = 1024 * 1024;
/** How often the server looks whether the device takes more. */
const RELIEF_MS = 50;
const PATH = epochExportName('disk1', EPOCH);

interface Served {
  readonly server: GgateServer;
  readonly refusals: string[];
  readonly target: { port: number; path: string };
  client(access?: number): Promise<Ggatec>;
}

async function serve(device: MemoryDevice, pairTimeoutMs?: number): Promise<Served> {
  const refusals: string[] = [];
  const server = await createGgateServer({
    exportName: 'disk1',
    device,
    epoch: EPOCH,
    onRefusal: (why) => refusals.push(why),
    ...(pairTimeoutMs === undefined ? {} : { pairTimeoutMs }),
  });
  onTestFinished(() => server.close());
  const target = { port: server.port, path: PATH };
  return {
    server,
    refusals,
    target,
    async client(access = 0) {
      const client = await Ggatec.create({ ...target, access });
      onTestFinished(() => client.drop());
      return client;
    },
  };
}

describe('the ggate server', () => {
  it('listens on the loopback address and tells the size of the disk', async () => {
    const served = await serve(new MemoryDevice(8 * MIB, { sectorBytes: 4096 }));
    expect(served.server.host).toBe('127.0.0.1');
    expect(await served.client()).toMatchObject({ mediaBytes: 8 * MIB, sectorBytes: 4096 });
    await until(() => served.server.clients === 1);
  });

  it('gives back what was written, in any order of answers', async () => {
    const device = new MemoryDevice(8 * MIB, { maxRequestBytes: 65536 });
    device.later = true;
    const client = await (await serve(device)).client();
    const data = content(128 * 1024);
    expect(await client.write(512, data)).toBe(0);
    const [whole, half] = await Promise.all([client.read(512, 128 * 1024), client.read(512, 512)]);
    expect(whole.data.equals(data)).toBe(true);
    expect(half.data.equals(data.subarray(0, 512))).toBe(true);
  });

  it.each(['read', 'write'] as const)(
    'takes no bytes at the end, after a %s, for the flush it is',
    async (kind) => {
      const device = new MemoryDevice(MIB);
      const client = await (await serve(device)).client();
      if (kind === 'read') await client.read(0, 512);
      else await client.write(0, Buffer.alloc(512, 1));
      expect(await client.flush()).toBe(0);
      expect(device.requests.at(-1)).toBe('flush');
      device.error = 'EIO';
      expect(await client.flush()).toBe(5);
    },
  );

  it('refuses a DELETE that is longer than any write, and stays in step', async () => {
    const device = new MemoryDevice(MIB);
    const client = await (await serve(device)).client();
    expect(await client.write(0, Buffer.alloc(512, 1))).toBe(0);
    expect(await client.delete(0, 512 * 1024)).toBe(45);
    expect(device.content[0]).toBe(1);
    expect(await client.read(0, 512).then(({ data }) => data[511])).toBe(1);
    expect(await client.delete(0, 512 * 1024)).toBe(45);
  });

  it('applies what a client sends again after a reconnect once more, and never what its old connection still held', async () => {
    const device = new MemoryDevice(MIB);
    const served = await serve(device);
    const client = await served.client();
    // The server reads no further, so the write waits in the old connection, which never ends on this side.
    device.pendingBytes = 65 * MIB;
    const unanswered = client.write(0, Buffer.alloc(512, 1));
    await client.reconnect({ silently: true });
    await until(() => served.server.clients === 1);
    device.pendingBytes = 0;
    expect(await unanswered).toBe(0);
    expect(await client.write(0, Buffer.alloc(512, 2))).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 2 * RELIEF_MS));
    expect(device.requests).toEqual(['write 0 512', 'write 0 512']);
    expect(device.content[0]).toBe(2);
    expect(client.reconnects).toBe(1);
  });

  it('lets several read-only clients read, beside the one that writes', async () => {
    const device = new MemoryDevice(MIB);
    const served = await serve(device);
    const writer = await served.client();
    const readers = [await served.client(GgateFlag.READ_ONLY), await served.client(GgateFlag.READ_ONLY)];
    await writer.write(0, Buffer.alloc(512, 3));
    for (const reader of readers) {
      expect((await reader.read(0, 512)).data[0]).toBe(3);
      expect(await reader.write(0, Buffer.alloc(512, 4))).toBe(1);
      expect((await reader.read(0, 512)).data[0]).toBe(3);
    }
    expect(served.server.clients).toBe(3);
  });

  it('lets a write-only client write and flush, not read', async () => {
    const client = await (await serve(new MemoryDevice(MIB))).client(GgateFlag.WRITE_ONLY);
    expect(await client.write(0, Buffer.alloc(512, 3))).toBe(0);
    expect(await client.flush()).toBe(0);
    expect((await client.read(0, 512)).error).toBe(1);
  });

  it.each([
    ['behind the end', MIB, 512, 22],
    ['across the end', MIB - 512, 1024, 22],
    ['at no sector', 100, 512, 22],
    ['of half a sector', 0, 100, 22],
    ['of nothing in the middle', 512, 0, 22],
  ])('answers a read %s with a FreeBSD errno and no data', async (_name, offset, length, errno) => {
    const client = await (await serve(new MemoryDevice(MIB))).client();
    expect(await client.read(offset, length)).toEqual({ error: errno, data: Buffer.alloc(0) });
    expect((await client.read(0, 512)).error).toBe(0);
  });

  it('tells an error of the disk by FreeBSD’s number, without data', async () => {
    const device = new MemoryDevice(MIB);
    const client = await (await serve(device)).client();
    device.error = 'EOPNOTSUPP';
    expect(await client.read(0, 512)).toEqual({ error: 45, data: Buffer.alloc(0) });
    expect(await client.write(0, Buffer.alloc(512))).toBe(45);
  });

  it('answers a command that it does not know', async () => {
    const served = await serve(new MemoryDevice(MIB));
    const receive = await ggateHandshake(served.target, GgateFlag.SEND, 77);
    const send = await ggateHandshake(served.target, GgateFlag.RECV, 77);
    onTestFinished(() => void [receive, send].map(({ bytes }) => bytes.socket.destroy()));
    const head = { command: 9, offset: 0, length: 512, seqHigh: 1, seqLow: 2, error: 0 };
    send.bytes.socket.write(encodeGgateHeader(head));
    expect(await receive.bytes.take(23)).toEqual(encodeGgateHeader({ ...head, error: 45 }));
  });

  it.each([
    ['an older epoch', 'disk1@6-00000000000000aa', 70, /this is disk1@7/],
    ['the resource without an epoch, which would outlive this one', 'disk1', 2, /no export/],
    ['another resource', 'disk2@7-00000000000000aa', 2, /no export/],
  ])('refuses a client of %s', async (_name, path, errno, why) => {
    const served = await serve(new MemoryDevice(MIB));
    await expect(Ggatec.create({ port: served.server.port, path })).rejects.toThrow(`refused ${errno}`);
    expect(served.refusals[0]).toMatch(why);
    expect(served.server.clients).toBe(0);
  });

  it.each([
    ['no direction', 0],
    ['both directions', GgateFlag.SEND | GgateFlag.RECV],
    ['neither reading nor writing', GgateFlag.SEND | GgateFlag.READ_ONLY | GgateFlag.WRITE_ONLY],
    ['flags that nobody knows', GgateFlag.SEND | 16],
  ])('refuses a connection with %s', async (_name, flags) => {
    const served = await serve(new MemoryDevice(MIB));
    await expect(ggateHandshake(served.target, flags, 5)).rejects.toThrow('refused 22');
  });

  it('refuses a version from the future, and what is no ggate at all', async () => {
    const served = await serve(new MemoryDevice(MIB));
    const future = await Bytes.to(served.server.port);
    future.socket.write(encodeGgateVersion({ version: 1, error: 0 }));
    expect((await future.take(20))?.readUInt16BE(18)).toBe(45);
    expect(await future.take(1)).toBeNull();
    const noise = await Bytes.to(served.server.port);
    noise.socket.write(Buffer.alloc(4096, 0xa5));
    expect(await noise.take(1)).toBeNull();
    expect(served.refusals).toHaveLength(2);
  });

  it('drops a connection whose other half does not come', async () => {
    const served = await serve(new MemoryDevice(MIB), 50);
    const { bytes } = await ggateHandshake(served.target, GgateFlag.SEND, 9);
    expect(await bytes.take(1)).toBeNull();
    expect(served.refusals[0]).toContain('only one of the two connections');
  });

  it('pairs by token, and never what was asked for with other rights', async () => {
    const served = await serve(new MemoryDevice(MIB));
    const open = [
      await ggateHandshake(served.target, GgateFlag.SEND, 1),
      await ggateHandshake(served.target, GgateFlag.RECV, 2),
      await ggateHandshake({ ...served.target, access: GgateFlag.READ_ONLY }, GgateFlag.RECV, 1),
    ];
    onTestFinished(() => void open.map(({ bytes }) => bytes.socket.destroy()));
    expect(served.server.clients).toBe(0);
    open.push(await ggateHandshake(served.target, GgateFlag.SEND, 2));
    await until(() => served.server.clients === 1);
  });

  it.each([1, 7, 22, 23, 24, 535])('understands requests that arrive %i bytes at a time', async (size) => {
    const device = new MemoryDevice(MIB);
    const served = await serve(device);
    const receive = await ggateHandshake(served.target, GgateFlag.SEND, 3);
    const send = await ggateHandshake(served.target, GgateFlag.RECV, 3);
    onTestFinished(() => void [receive, send].map(({ bytes }) => bytes.socket.destroy()));
    send.bytes.socket.setNoDelay(true);
    const head = { command: 1, offset: 512, length: 512, seqHigh: 0, seqLow: 1, error: 0 };
    const read = { ...head, command: 0, seqLow: 2 };
    const data = content(512);
    const whole = Buffer.concat([encodeGgateHeader(head), data, encodeGgateHeader(read)]);
    for (let at = 0; at < whole.length; at += size)
      await new Promise((resolve) => send.bytes.socket.write(whole.subarray(at, at + size), resolve));
    expect(await receive.bytes.take(23)).toEqual(encodeGgateHeader(head));
    expect(await receive.bytes.take(23 + 512)).toEqual(Buffer.concat([encodeGgateHeader(read), data]));
  });

  it('stops reading from its client while the device is full, and goes on when it is not', async () => {
    const device = new MemoryDevice(MIB);
    device.held = [];
    const client = await (await serve(device)).client();
    const block = Buffer.alloc(128 * 1024, 1);
    const writes = Array.from({ length: 700 }, () => client.write(0, block));
    await until(() => device.pendingBytes > 64 * MIB);
    const taken = device.requests.length;
    expect(taken).toBe(513);
    device.release();
    expect(await Promise.all(writes)).toEqual(writes.map(() => 0));
  });

  it('ends every client at once when it closes', async () => {
    const served = await serve(new MemoryDevice(MIB));
    const half = await ggateHandshake(served.target, GgateFlag.SEND, 31);
    const receive = await ggateHandshake(served.target, GgateFlag.SEND, 32);
    const send = await ggateHandshake(served.target, GgateFlag.RECV, 32);
    await served.server.close();
    for (const { bytes } of [half, receive, send]) expect(await bytes.take(1)).toBeNull();
    await expect(Bytes.to(served.server.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
