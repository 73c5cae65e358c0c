import { link, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createNbdServer } from '../../../src/device/nbd-server.ts';
import { REQUEST_BYTES } from '../../../src/protocol/nbd.ts';
import { GREETING_BYTES, encodeClientFlags, encodeOption } from '../../../src/protocol/nbd-negotiation.ts';
import { MemoryDevice } from './memory-device.ts';
import {
  EPOCH,
  EXPORT_ANSWER_BYTES,
  content,
  opened,
  request,
  serve,
  temporaryDirectory,
  until,
} from './nbd-fixture.ts';

const MIB = 1024 * 1024;
describe('the NBD server', () => {
  it('gives back what was written, and passes FUA and flush on', async () => {
    const device = new MemoryDevice(8 * MIB);
    const client = await (await serve(device)).connect();
    const data = content(3 * 512);

    await client.write(1024, data, { fua: true });
    await client.flush();

    expect(client.sizeBytes).toBe(8 * MIB);
    expect(await client.read(1024, data.length)).toEqual(data);
    expect(device.requests).toEqual(['write 1024 1536 fua', 'flush', 'read 1024 1536']);
  });

  it('splits what the device cannot take in one piece, and joins the answers in order', async () => {
    const device = new MemoryDevice(8 * MIB, { maxRequestBytes: 128 * 1024 });
    device.later = true;
    const client = await (await serve(device)).connect();
    const data = content(3 * MIB + 512);

    await client.write(512, data);

    expect(data.equals(device.content.subarray(512, 512 + data.length))).toBe(true);
    expect(device.requests).toHaveLength(25);
    expect(data.equals(await client.read(512, data.length))).toBe(true);
  });

  it.each([512, 4096, 33 * 1024, 300 * 1024])(
    'answers hundreds of mixed requests of %i bytes that wait in the socket together',
    async (length) => {
      const device = new MemoryDevice(16 * MIB);
      const client = await (await serve(device)).connect();
      const offsets = Array.from({ length: 300 }, (_, index) => (index % 40) * length);
      offsets
        .slice(0, 40)
        .forEach((offset) => device.content.fill(offset / length + 1, offset, offset + length));

      const answers = await Promise.all(
        offsets.map(async (offset, index) => {
          if (index % 7 === 0) await client.flush();
          return client.read(offset, length);
        }),
      );

      answers.forEach((answer, index) =>
        expect(answer.equals(Buffer.alloc(length, (index % 40) + 1))).toBe(true),
      );
    },
  );

  it.each([1, 2, 3, 5, 27, 28, 29, 540])(
    'understands a conversation that arrives %i bytes at a time',
    async (size) => {
      const device = new MemoryDevice(MIB);
      const client = await (await serve(device)).raw();
      const data = content(512);
      const whole = Buffer.concat([
        encodeClientFlags(3),
        encodeOption(1, Buffer.from('disk1')),
        request(1, 1, 512, 512),
        data,
        request(0, 2, 512, 512),
        request(2, 3, 0, 0),
      ]);
      client.socket.setNoDelay(true);
      for (let at = 0; at < whole.length; at += size) {
        await new Promise((resolve) => client.socket.write(whole.subarray(at, at + size), resolve));
      }

      const answer = await client.take(GREETING_BYTES + EXPORT_ANSWER_BYTES + 16 + 16 + 512);
      await client.closed;
      expect(answer.subarray(-512)).toEqual(data);
      expect(device.requests).toEqual(['write 512 512', 'read 512 512']);
    },
  );

  it.each([
    ['read behind the end', request(0, 1, MIB, 512)],
    ['read across the end', request(0, 1, MIB - 512, 1024)],
    ['read from the end of all numbers', request(0, 1, Number.MAX_SAFE_INTEGER, 512)],
    ['unaligned offset', request(0, 1, 100, 512)],
    ['unaligned length', request(0, 1, 0, 100)],
    ['nothing', request(0, 1, 0, 0)],
    ['4 GiB', request(0, 1, 0, 0xffffffff)],
    ['trim, which is not offered', request(4, 1, 0, 512)],
    ['block status, which is not offered', request(7, 1, 0, 512)],
    ['unaligned zeros', request(6, 1, 512, 100)],
    ['zeros of nothing', request(6, 1, 512, 0)],
    ['a read without holes', request(0, 1, 0, 512, 2)],
    ['a fast flush', request(3, 1, 0, 0, 16)],
    ['unknown command', request(99, 1, 0, 512)],
    ['unknown flag', request(0, 1, 0, 512, 0x8000)],
    ['unaligned write', Buffer.concat([request(1, 1, 1, 70_000), Buffer.alloc(70_000, 1)])],
  ])('answers %s with EINVAL and goes on', async (_name, bytes) => {
    const device = new MemoryDevice(MIB);
    device.discards = false;
    const client = await (await serve(device)).raw();
    await opened(client);

    client.socket.write(Buffer.concat([bytes, request(3, 2, 0, 0)]));

    const [refused, flushed] = [await client.take(16), await client.take(16)];
    expect(refused.toString('hex')).toBe('67446698000000160000000900000001');
    expect(flushed.toString('hex')).toBe('67446698000000000000000900000002');
    expect(device.requests).toEqual(['flush']);
  });

  it.each([
    ['a write', Buffer.concat([request(1, 1, MIB, 512), Buffer.alloc(512, 1)])],
    ['a write across the end', Buffer.concat([request(1, 1, MIB - 512, 1024), Buffer.alloc(1024, 1)])],
    ['zeros', request(6, 1, 0, 2 * MIB)],
  ])('answers %s behind the end with ENOSPC and goes on', async (_name, bytes) => {
    const device = new MemoryDevice(MIB);
    const client = await (await serve(device)).raw();
    await opened(client);
    client.socket.write(Buffer.concat([bytes, request(3, 2, 0, 0)]));
    expect((await client.take(16)).readUInt32BE(4)).toBe(28);
    expect((await client.take(16)).readUInt32BE(4)).toBe(0);
    expect(device.requests).toEqual(['flush']);
  });

  it('passes the error of the device on', async () => {
    const device = new MemoryDevice(MIB);
    const client = await (await serve(device)).connect();
    device.error = 'ENOSPC';
    await expect(client.write(0, Buffer.alloc(512))).rejects.toThrow(/ENOSPC/);
    device.error = null;
    await expect(client.write(0, Buffer.alloc(512))).resolves.toBeUndefined();
  });

  it.each([
    ['noise instead of client flags', Buffer.alloc(64, 0xa5), 'nbd-client-flags'],
    ['an option without magic', Buffer.concat([encodeClientFlags(3), Buffer.alloc(16, 1)]), 'nbd-magic'],
    [
      'a foreign name where the protocol has no refusal',
      Buffer.concat([encodeClientFlags(3), encodeOption(1, Buffer.from('disk2'))]),
      'nbd-export-unknown',
    ],
    [
      'noise instead of a request',
      Buffer.concat([
        encodeClientFlags(3),
        encodeOption(1, Buffer.from('disk1')),
        Buffer.alloc(REQUEST_BYTES, 2),
      ]),
      'nbd-magic',
    ],
    [
      'a write of 1 GiB',
      Buffer.concat([encodeClientFlags(3), encodeOption(1, Buffer.from('disk1')), request(1, 1, 0, 2 ** 30)]),
      'nbd-payload',
    ],
  ])('closes the client that sends %s, and no other', async (_name, bytes, code) => {
    const served = await serve(new MemoryDevice(MIB));
    const other = await served.connect();
    const client = await served.raw();

    client.socket.write(bytes);
    await client.closed;

    expect(served.garbage).toEqual([code]);
    await expect(other.read(0, 512)).resolves.toHaveLength(512);
    expect(served.server.clients).toBe(1);
  });

  it('answers an option that it cannot read or does not know, and goes on negotiating', async () => {
    const client = await (await serve(new MemoryDevice(MIB))).raw();
    await client.take(GREETING_BYTES);
    client.socket.write(
      Buffer.concat([
        encodeClientFlags(3),
        encodeOption(5, Buffer.alloc(0)),
        encodeOption(7, Buffer.from('000000ff', 'hex')),
        encodeOption(3, Buffer.alloc(0)),
        encodeOption(2, Buffer.alloc(0)),
      ]),
    );
    const types: number[] = [];
    for (let reply = 0; reply < 5; reply += 1) {
      const header = await client.take(20);
      types.push(header.readUInt32BE(12));
      await client.take(header.readUInt32BE(16));
    }
    expect(types).toEqual([0x80000001, 0x80000003, 2, 1, 1]);
    await client.closed;
  });

  it.each(['', 'disk1', 'disk1@7-00000000000000aa'])('serves the name "%s"', async (name) => {
    const served = await serve(new MemoryDevice(MIB));
    await expect(served.connect(name)).resolves.toHaveProperty('sizeBytes', MIB);
  });

  it.each(['disk1@6-00000000000000aa', 'disk1@7-00000000000000ab', 'disk1@', 'disk2', 'disk1 '])(
    'refuses the name "%s", which is of another epoch or disk',
    async (name) => {
      const served = await serve(new MemoryDevice(MIB));
      await expect(served.connect(name)).rejects.toMatchObject({
        code: 'nbd-refused',
        message: expect.stringContaining('this is disk1@7-00000000000000aa') as string,
      });
    },
  );

  it('stops reading from its client while the device is full, and goes on when it is not', async () => {
    const device = new MemoryDevice(4 * MIB);
    device.held = [];
    const served = await serve(device);
    const client = await served.connect();
    const block = Buffer.alloc(MIB, 1);
    const writes = Array.from({ length: 100 }, (_, index) => client.write((index % 4) * MIB, block));

    await until(() => device.pendingBytes > 64 * MIB);
    const taken = device.requests.length;
    expect(taken).toBe(65);
    // Others are still let in, so the server had every chance to read on.
    for (let turns = 0; turns < 5; turns += 1) await served.connect();
    expect(device.requests).toHaveLength(taken);

    device.release();
    await Promise.all(writes);
    expect(device.requests).toHaveLength(100);
  });

  it('stops reading from a client that does not take its answers', async () => {
    const device = new MemoryDevice(4 * MIB);
    const client = await (await serve(device)).raw();
    await opened(client);
    client.socket.pause();
    const reads = Array.from({ length: 200 }, (_, index) => request(0, index, 0, MIB));
    client.socket.write(Buffer.concat(reads));

    await until(() => device.requests.length > 10);
    await new Promise((resolve) => setImmediate(resolve));
    expect(device.requests.length).toBeLessThan(25);

    client.socket.resume();
    for (let index = 0; index < 200; index += 1) await client.take(16 + MIB);
    expect(device.requests).toHaveLength(200);
  });

  it('ends every client at once when it closes, with requests in flight rejected', async () => {
    const device = new MemoryDevice(MIB);
    device.held = [];
    const served = await serve(device);
    const clients = [await served.connect(), await served.connect()];
    const read = clients[0]?.read(0, 512);
    const refused = expect(read).rejects.toMatchObject({ code: 'nbd-closed' });
    await until(() => device.requests.length === 1);

    await served.server.close();

    await refused;
    await Promise.all(clients.map((client) => client.closed));
    await expect(clients[1]?.flush()).rejects.toMatchObject({ code: 'nbd-closed' });
    await expect(served.connect()).rejects.toMatchObject({ code: 'nbd-connect' });
    await expect(stat(served.socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
    device.release();
    expect(device.requests).toEqual(['read 0 512']);
  });

  it('answers what was asked before a disconnect', async () => {
    const device = new MemoryDevice(MIB);
    device.held = [];
    const served = await serve(device);
    const client = await served.connect();
    const write = client.write(0, Buffer.alloc(512, 3));
    const gone = client.disconnect();
    await until(() => device.requests.length === 1);
    device.release();
    await write;
    await gone;
    await until(() => served.server.clients === 0);
  });
});

describe('the socket of the NBD server', () => {
  const options = (socketPath: string) => ({
    socketPath,
    exportName: 'disk1',
    device: new MemoryDevice(MIB),
    epoch: EPOCH,
  });

  it('is for its owner only', async () => {
    const served = await serve(new MemoryDevice(MIB));
    expect((await stat(served.socketPath)).mode & 0o777).toBe(0o600);
  });

  it('is not taken from a live server, which stays untouched', async () => {
    const served = await serve(new MemoryDevice(MIB));
    await expect(createNbdServer(options(served.socketPath))).rejects.toMatchObject({
      code: 'nbd-socket-live',
    });
    await expect(served.connect()).resolves.toHaveProperty('sizeBytes', MIB);
  });

  it('replaces one that nobody listens on', async () => {
    const directory = await temporaryDirectory();
    const stale = join(directory, 'old');
    const path = join(directory, 'disk1.sock');
    const old = createServer().listen(stale);
    await new Promise((resolve) => old.once('listening', resolve));
    await link(stale, path);
    await new Promise((resolve) => old.close(resolve));

    const server = await createNbdServer(options(path));
    onTestFinished(() => server.close());
    expect((await stat(path)).isSocket()).toBe(true);
  });

  it.each(['file', 'symlink'])('never replaces a %s', async (kind) => {
    const directory = await temporaryDirectory();
    const path = join(directory, 'disk1.sock');
    if (kind === 'file') await writeFile(path, 'precious');
    else await symlink('/etc/passwd', path);
    await expect(createNbdServer(options(path))).rejects.toMatchObject({ code: 'nbd-socket-taken' });
  });

  it('with a path that a unix socket cannot have is refused with the limit', async () => {
    const path = join(await temporaryDirectory(), 'x'.repeat(120));
    await expect(createNbdServer(options(path))).rejects.toMatchObject({
      code: 'nbd-socket-path',
      message: expect.stringMatching(/takes 103; choose a shorter --state-dir/) as string,
    });
  });

  it('in a directory that cannot be made is an error that names it', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'file'), '');
    await expect(createNbdServer(options(join(directory, 'file', 'disk1.sock')))).rejects.toMatchObject({
      name: 'DiskError',
      code: 'nbd-listen',
    });
  });
});
