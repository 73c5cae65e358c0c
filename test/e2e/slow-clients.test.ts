/** Clients that say half of what they want and stay: the others are served, and the daemon does not grow. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { connectNbd, type NbdInitiator } from '../../src/device/nbd-initiator.ts';
import {
  encodeClientFlags,
  encodeExportNameAnswer,
  encodeGreeting,
  encodeOption,
  HANDSHAKE_FIXED_NEWSTYLE,
  HANDSHAKE_NO_ZEROES,
  NbdOption,
} from '../../src/protocol/nbd-negotiation.ts';
import { encodeRequest, NbdCommand } from '../../src/protocol/nbd.ts';
import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { Lab } from '../support/lab.ts';

const CLIENTS = 200;
/** An export takes 64 that have agreed on something: these leave room for others. */
const AGREED = 48;
const WRITE_BYTES = 4 * 1024 * 1024;
const HALF_BYTES = 64 * 1024;
const MAX_GROWTH_BYTES = 64 * 1024 * 1024;
const AGREED_BYTES = encodeGreeting().length + encodeExportNameAnswer(0, 0, true).length;

async function residentBytes(pid: number): Promise<number> {
  const kib = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

describe.skipIf(process.platform !== 'linux')('clients that say half a request and stay', () => {
  let lab: Lab;
  let hasta: LabDaemon;
  let socketPath: string;
  let slow: Socket[] = [];

  beforeAll(async () => {
    lab = await Lab.make();
    ({ hasta } = await lab.startPair());
    const offered = resourceOf(await hasta.status(), 'disk1').export;
    if (offered === null) throw new Error('nothing is exported');
    socketPath = offered.socket;
  });
  afterEach(() => {
    for (const socket of slow) socket.destroy();
    slow = [];
  });
  afterAll(() => lab.close());

  /** Connected, or refused already; whatever comes is read. */
  async function open(path: string): Promise<Socket> {
    const socket = connect(path).on('error', () => undefined);
    slow.push(socket);
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
    return socket.resume();
  }

  const say = (path: string, half: string | Buffer) => async (): Promise<void> => {
    for (let i = 0; i < CLIENTS; i++) (await open(path)).write(half);
  };

  async function writeHalf(): Promise<void> {
    const flags = HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES;
    const name = encodeOption(NbdOption.EXPORT_NAME, Buffer.from('disk1'));
    const cookie = { cookieHigh: 0, cookieLow: 1 };
    const header = encodeRequest({
      flags: 0,
      type: NbdCommand.WRITE,
      ...cookie,
      offset: 0,
      length: WRITE_BYTES,
    });
    for (let i = 0; i < AGREED; i++) {
      const socket = await open(socketPath);
      const agreed = new Promise<void>((resolve, reject) => {
        let heard = 0;
        socket.on('data', (chunk: Buffer) => {
          heard += chunk.length;
          if (heard >= AGREED_BYTES) resolve();
        });
        socket.once('close', () => reject(new Error('the export is refused')));
      });
      socket.write(Buffer.concat([encodeClientFlags(flags), name]));
      await agreed;
      socket.write(Buffer.concat([header, Buffer.alloc(HALF_BYTES, 0xee)]));
    }
  }

  const doors: Record<string, () => Promise<void>> = {
    'the control socket': () => say(lab.places.hasta.control, '{"id":1,"command":"sta')(),
    'the control socket, as an old hastctl': () =>
      say(lab.places.hasta.control, Buffer.from([0, 200, 0, 0, 0, 7]))(),
    'the export, half a greeting': () => say(socketPath, encodeClientFlags(1).subarray(0, 2))(),
    'the export, half a write': writeHalf,
  };

  async function goesOn(nbd: NbdInitiator, offset: number, byte: number): Promise<void> {
    const block = Buffer.alloc(4096, byte);
    await nbd.write(offset, block);
    await nbd.flush();
    expect((await nbd.read(offset, 4096)).equals(block)).toBe(true);
  }

  it.each(Object.entries(doors))('at %s keep no other out, and cost no memory', async (_, come) => {
    const early = await connectNbd({ socketPath, exportName: 'disk1' });
    await goesOn(early, 0, 1);
    const before = await residentBytes(hasta.pid);
    const { boot } = await hasta.status();
    await come();
    await goesOn(early, 4096, 2);
    const late = await connectNbd({ socketPath, exportName: 'disk1' });
    await goesOn(late, 8192, 3);
    const status = await hasta.status();
    expect([status.boot, groupOf(status, 'storage').state]).toEqual([boot, 'primary.serving']);
    expect((await residentBytes(hasta.pid)) - before).toBeLessThan(MAX_GROWTH_BYTES);
    // What was never said in whole is never done.
    expect((await late.read(1024 * 1024, 4096)).equals(Buffer.alloc(4096))).toBe(true);
    expect((await late.read(16_384, 4096)).equals(Buffer.alloc(4096))).toBe(true);
    await early.disconnect();
    await late.disconnect();
  });
});
