/** Clients of an export that say half of something and then nothing, and one that goes on after its goodbye. */
import { once } from 'node:events';
import { writeFile, rm } from 'node:fs/promises';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { epochExportName } from '../../../src/device/nbd-handshake.ts';
import { createGgateServer } from '../../../src/device/ggate-server.ts';
import { Newcomers } from '../../../src/device/newcomers.ts';
import type { NbdInitiator } from '../../../src/device/nbd-initiator.ts';
import { createNbdServer } from '../../../src/device/nbd-server.ts';
import { encodeGgateVersion } from '../../../src/protocol/ggate.ts';
import { Ggatec } from '../../support/ggatec.ts';
import { MemoryDevice } from './memory-device.ts';
import {
  EPOCH,
  opened,
  type RawClient,
  request,
  serve,
  type Served,
  temporaryDirectory,
  until,
} from './nbd-fixture.ts';

const MIB = 1024 * 1024;
const MANY = 200;
const PATIENCE_MS = 400;

/** So many clients that said this; how many of them are still there. */
async function crowd(where: NetConnectOpts, bytes: Buffer): Promise<{ left: number }> {
  const state = { left: MANY };
  const sockets: Socket[] = [];
  onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
  for (let n = 0; n < MANY; n++) {
    const socket = connect(where);
    sockets.push(socket);
    socket.on('error', () => undefined).on('close', () => state.left--);
    await once(socket, 'connect');
    socket.resume().write(bytes);
  }
  return state;
}

describe('two hundred clients that say half of something', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half of their flags', Buffer.from([0, 0])],
    ['half an option', Buffer.from([0, 0, 0, 3, 0x49, 0x48, 0x41])],
  ])('of NBD (%s) keep nobody out, and each is closed in time with a reason', async (_, bytes) => {
    const served = await serve(new MemoryDevice(MIB), PATIENCE_MS);
    const state = await crowd({ path: served.socketPath }, bytes);
    const honest = await served.connect();
    await honest.write(0, Buffer.alloc(512, 1));
    await until(() => state.left === 0 && served.server.clients === 1);
    expect(new Set(served.garbage)).toEqual(new Set(['nbd-late']));
    expect((await honest.read(0, 512))[0]).toBe(1);
  });

  it('of ggate keep nobody out, and each is closed in time with a reason', async () => {
    const refusals: string[] = [];
    const server = await createGgateServer({
      ...{ exportName: 'disk1', device: new MemoryDevice(MIB), epoch: EPOCH, patienceMs: PATIENCE_MS },
      onRefusal: (why) => refusals.push(why),
    });
    onTestFinished(() => server.close());
    const state = await crowd(
      { port: server.port },
      encodeGgateVersion({ version: 0, error: 0 }).subarray(0, 4),
    );
    const honest = await Ggatec.create({
      port: server.port,
      path: epochExportName('disk1', EPOCH),
      access: 0,
    });
    onTestFinished(() => honest.drop());
    await until(() => state.left === 0 && server.clients === 1);
    expect(refusals.length).toBeGreaterThanOrEqual(MANY);
    expect(refusals[0]).toContain('nothing whole');
  });

  it('or one that says it little by little is closed as well', async () => {
    const served = await serve(new MemoryDevice(MIB), PATIENCE_MS);
    const client = await served.raw();
    const drip = setInterval(() => client.socket.write(Buffer.from([0])), 20);
    onTestFinished(() => clearInterval(drip));
    await client.closed;
    expect(served.garbage).toEqual(['nbd-late']);
  });
});

describe('sixty-four NBD clients, as many as there may be,', () => {
  const FULL = 64;
  async function full(served: Served, bytes: Buffer): Promise<RawClient[]> {
    const clients: RawClient[] = [];
    for (let n = 0; n < FULL; n++) {
      const client = await served.raw();
      await opened(client);
      clients.push(client);
      client.socket.write(bytes);
    }
    return clients;
  }

  it.each([
    ['its payload', Buffer.concat([request(1, 1, 0, 512), Buffer.alloc(100)])],
    ['a large payload', Buffer.concat([request(1, 1, 0, 65536), Buffer.alloc(100)])],
    ['its header', request(1, 1, 0, 512).subarray(0, 9)],
  ])('that all stopped in the middle of a write (%s) keep nobody out for longer', async (_, bytes) => {
    const served = await serve(new MemoryDevice(MIB), PATIENCE_MS);
    const clients = await full(served, bytes);
    const began = performance.now();
    const enter = (): Promise<NbdInitiator> => served.connect().catch(() => enter());
    const honest = await enter();
    expect(performance.now() - began).toBeGreaterThan(PATIENCE_MS / 2);
    await honest.write(0, Buffer.alloc(512, 1));
    await until(() => clients.filter(({ socket }) => socket.destroyed).length > 0);
    // Who is in nobody's way may take its time.
    expect(served.server.clients).toBe(FULL);
    expect(served.garbage).toEqual(['nbd-full', 'nbd-late']);
  });

  it('that only have nothing to do all stay, and why another is refused is told once', async () => {
    const served = await serve(new MemoryDevice(MIB), PATIENCE_MS);
    const clients = await full(served, Buffer.alloc(0));
    const until = performance.now() + 1.5 * PATIENCE_MS;
    while (performance.now() < until) await expect(served.connect()).rejects.toThrow();
    expect(clients.filter(({ socket }) => socket.destroyed)).toEqual([]);
    expect(served.garbage).toEqual(['nbd-full']);
  });
});

it('an NBD client that goes on after its goodbye is not listened to, and nothing of it is kept', async () => {
  const device = new MemoryDevice(MIB);
  device.held = [];
  const served = await serve(device);
  const client = await served.raw();
  await opened(client);
  client.socket.write(Buffer.concat([request(1, 1, 0, 512), Buffer.alloc(512, 9), request(2, 2, 0, 0)]));
  await until(() => device.requests.length === 1);
  const more = Buffer.alloc(MIB, 0x25);
  const before = process.memoryUsage().arrayBuffers;
  for (let n = 0; n < 48; n++)
    await new Promise<void>((resolve) => client.socket.write(more, () => resolve()));
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(24 * MIB);
  device.release();
  await client.closed;
  expect([device.requests.length, served.garbage]).toEqual([1, []]);
});

it('of those who said nothing yet the one that waited longest makes room', () => {
  const dismissed: string[] = [];
  const newcomers = new Newcomers<string>({
    ...{ most: 2, patience: 60_000 },
    dismiss: (name, why) => dismissed.push(`${name}: ${why}`),
  });
  for (const name of ['one', 'two', 'three']) newcomers.enter(name);
  expect(dismissed).toEqual(['one: it said nothing whole yet and too many others came']);
  newcomers.leave('two');
  newcomers.enter('four');
  expect([dismissed.length, newcomers.size]).toEqual([1, 2]);
  for (const name of ['three', 'four']) newcomers.leave(name);
});

it('a listen that failed is reported, and tried again once its reason is gone', async () => {
  const directory = await temporaryDirectory();
  const socketPath = join(directory, 'disk1.sock');
  const open = () =>
    createNbdServer({ socketPath, exportName: 'disk1', device: new MemoryDevice(MIB), epoch: EPOCH });
  await writeFile(socketPath, 'in the way');
  await expect(open()).rejects.toMatchObject({ code: 'nbd-socket-taken' });
  await rm(socketPath);
  const server = await open();
  onTestFinished(() => server.close());
  expect(server.clients).toBe(0);
});
