/** What a client gets that asks for structured replies and for the places of holes. */
import { describe, expect, it } from 'vitest';
import { encodeMetaContextOption } from '../../../src/protocol/nbd-meta-context.ts';
import {
  GREETING_BYTES,
  decodeInfo,
  encodeClientFlags,
  encodeGoOption,
  encodeOption,
} from '../../../src/protocol/nbd-negotiation.ts';
import { decodeChunkHeader, decodeStatus, type Chunk } from '../../../src/protocol/nbd-structured.ts';
import { MemoryDevice } from './memory-device.ts';
import { content, request, serve, until, type RawClient, type Served } from './nbd-fixture.ts';

const MIB = 1024 * 1024;
const NONE = Buffer.alloc(0);
const ACK = 1;
const INFO = 3;
const CONTEXT = 4;
const INVALID = 0x80000003;
const UNKNOWN = 0x80000006;
const TOO_BIG = 0x80000009;

const STRUCTURED = encodeOption(8, NONE);
const list = (queries: readonly string[], exportName = 'disk1'): Buffer =>
  encodeOption(9, encodeMetaContextOption({ exportName, queries }));
const choose = (queries: readonly string[], exportName = 'disk1'): Buffer =>
  encodeOption(10, encodeMetaContextOption({ exportName, queries }));
const go = (name = 'disk1'): Buffer => encodeOption(7, encodeGoOption({ name, infos: [] }));
const ALLOCATION = ['base:allocation'];

interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

/** The replies to the options, each up to the one that ends it. */
async function options(client: RawClient, ...sent: Buffer[]): Promise<OptionReply[][]> {
  client.socket.write(Buffer.concat(sent));
  const answers: OptionReply[][] = [];
  for (const _option of sent) {
    const replies: OptionReply[] = [];
    do {
      const header = await client.take(20);
      replies.push({ type: header.readUInt32BE(12), data: await client.take(header.readUInt32BE(16)) });
    } while (replies.at(-1)?.type === INFO || replies.at(-1)?.type === CONTEXT);
    answers.push(replies);
  }
  return answers;
}

const greeted = async (device: MemoryDevice): Promise<RawClient> => greetedBy(await serve(device));

async function greetedBy(served: Served): Promise<RawClient> {
  const client = await served.raw();
  await client.take(GREETING_BYTES);
  client.socket.write(encodeClientFlags(3));
  return client;
}

const typesOf = (answers: OptionReply[][]): number[][] => answers.map((one) => one.map(({ type }) => type));

async function chunk(client: RawClient): Promise<Chunk & { payload: Buffer }> {
  const header = decodeChunkHeader(await client.take(20));
  return { ...header, payload: await client.take(header.length) };
}

/** In the transmission phase, with everything asked for. */
const agreed = async (device: MemoryDevice): Promise<RawClient> => agreedWith(await serve(device));

async function agreedWith(served: Served): Promise<RawClient> {
  const client = await greetedBy(served);
  await options(client, STRUCTURED, choose(ALLOCATION), go());
  return client;
}

describe('the options of structured replies', () => {
  it('are agreed to, and the one context is listed and chosen with its number', async () => {
    const client = await greeted(new MemoryDevice(MIB).tellHoles());
    const answers = await options(client, STRUCTURED, list([]), list(['base:']), choose(ALLOCATION));
    expect(typesOf(answers)).toEqual([[ACK], [CONTEXT, ACK], [CONTEXT, ACK], [CONTEXT, ACK]]);
    const contexts = answers.slice(1).map((one) => one[0]?.data.toString('latin1'));
    expect(contexts).toEqual([
      '\0\0\0\0base:allocation',
      '\0\0\0\0base:allocation',
      '\0\0\0\x01base:allocation',
    ]);
  });

  it.each([
    ['a context before structured replies', [choose(ALLOCATION), list([])], [[INVALID], [INVALID]]],
    ['structured replies with data', [encodeOption(8, Buffer.alloc(1))], [[INVALID]]],
    [
      'a foreign export',
      [STRUCTURED, choose(ALLOCATION, 'disk2'), list([], 'no')],
      [[ACK], [UNKNOWN], [UNKNOWN]],
    ],
    [
      'lengths that contradict each other',
      [STRUCTURED, encodeOption(10, Buffer.from('0000000164', 'hex')), encodeOption(9, NONE)],
      [[ACK], [INVALID], [INVALID]],
    ],
    ['too many queries', [STRUCTURED, choose(Array<string>(65).fill('base:allocation'))], [[ACK], [TOO_BIG]]],
    [
      'contexts that do not exist',
      [STRUCTURED, choose(['base:x', 'qemu:', '']), list(['x:'])],
      [[ACK], [ACK], [ACK]],
    ],
    ['the wildcard, which chooses nothing', [STRUCTURED, choose(['base:'])], [[ACK], [ACK]]],
    ['nothing', [STRUCTURED, choose([])], [[ACK], [ACK]]],
    ['the same context twice', [STRUCTURED, choose([...ALLOCATION, ...ALLOCATION])], [[ACK], [CONTEXT, ACK]]],
  ])('answer %s as the protocol wants it, and go on', async (_name, sent, types) => {
    const client = await greeted(new MemoryDevice(MIB).tellHoles());
    expect(typesOf(await options(client, ...sent, go()))).toEqual([...types, [INFO, INFO, ACK]]);
  });

  it('offer no context where the disk cannot tell', async () => {
    const client = await greeted(new MemoryDevice(MIB));
    expect(typesOf(await options(client, STRUCTURED, list([]), choose(ALLOCATION)))).toEqual([
      [ACK],
      [ACK],
      [ACK],
    ]);
  });

  it('make the export say that it takes DF, and only them', async () => {
    const client = await greeted(new MemoryDevice(MIB));
    const info = encodeOption(6, encodeGoOption({ name: 'disk1', infos: [] }));
    const [before, , after] = await options(client, info, STRUCTURED, info);
    const flags = [before, after].map((one) => decodeInfo(one?.[0]?.data ?? NONE));
    expect(flags).toMatchObject([{ flags: 0x96d }, { flags: 0x9ed }]);
  });
});

describe('structured replies', () => {
  it('carry the data of a read in one chunk with its place, whatever its length', async () => {
    const device = new MemoryDevice(8 * MIB);
    device.later = true;
    content(8 * MIB).copy(device.content);
    const client = await agreed(device);
    const reads: [number, number][] = [
      [512, 4096],
      [4 * MIB, 100_352],
      [MIB, 3 * MIB],
      [0, 512],
    ];
    for (let round = 0; round < 3; round += 1) {
      client.socket.write(
        Buffer.concat(reads.map(([at, length], index) => request(0, index, at, length, 4))),
      );
      const seen = new Set<number>();
      for (const _read of reads) {
        const { cookieLow, flags, type, payload } = await chunk(client);
        seen.add(cookieLow);
        const [at, length] = reads[cookieLow] ?? [0, 0];
        expect([flags, type, Number(payload.readBigUInt64BE(0))]).toEqual([1, 1, at]);
        expect(payload.subarray(8).equals(device.content.subarray(at, at + length))).toBe(true);
      }
      expect(seen.size).toBe(reads.length);
    }
  });

  it('leave the success of what has no data simple, and tell every error in a chunk', async () => {
    const device = new MemoryDevice(MIB);
    const client = await agreed(device);
    client.socket.write(Buffer.concat([request(1, 1, 0, 512), Buffer.alloc(512, 1), request(3, 2, 0, 0)]));
    expect((await client.take(16)).toString('hex')).toBe('67446698000000000000000900000001');
    expect((await client.take(16)).toString('hex')).toBe('67446698000000000000000900000002');
    client.socket.write(request(0, 3, 100, 512));
    expect(await chunk(client)).toMatchObject({ flags: 1, type: 0x8001, cookieLow: 3 });
    device.error = 'EIO';
    client.socket.write(Buffer.concat([request(0, 4, 0, 512), request(3, 5, 0, 0)]));
    for (const cookieLow of [4, 5]) {
      const { payload, ...header } = await chunk(client);
      expect(header).toMatchObject({ flags: 1, type: 0x8001, cookieHigh: 9, cookieLow });
      expect(payload.toString('hex')).toBe('000000050000');
    }
  });

  it.each([
    ['unaligned', request(7, 1, 100, 512)],
    ['behind the end', request(7, 1, MIB, 512)],
    ['of nothing', request(7, 1, 0, 0)],
    ['with a flag of reads', request(7, 1, 0, 512, 4)],
    ['a write with DF', Buffer.concat([request(1, 1, 0, 512, 4), Buffer.alloc(512)])],
    ['a read of one piece', request(0, 1, 0, 512, 8)],
  ])('refuse what is %s', async (_name, bytes) => {
    const device = new MemoryDevice(MIB).tellHoles();
    const client = await agreed(device);
    client.socket.write(bytes);
    const { type, payload } = await chunk(client);
    expect([type, payload.readUInt32BE(0)]).toEqual([0x8001, 22]);
    expect(device.requests).toEqual([]);
  });
});

describe('the places of holes', () => {
  const islands = (): MemoryDevice => {
    const device = new MemoryDevice(MIB).tellHoles();
    for (const at of [1024, 4096]) device.content.fill(1, at, at + 512);
    return device;
  };
  const ask = async (client: RawClient, bytes: Buffer) => {
    client.socket.write(bytes);
    const { flags, type, cookieLow, payload } = await chunk(client);
    expect([flags, type, cookieLow]).toEqual([1, 5, 1]);
    const { context, pieces } = decodeStatus(payload);
    expect(context).toBe(1);
    return pieces.map(({ length, hole }) => (hole ? -length : length));
  };

  it('are told as they are, forced or not', async () => {
    const client = await agreed(islands());
    expect(await ask(client, request(7, 1, 0, MIB))).toEqual([-1024, 512, -2560, 512, -(MIB - 4608)]);
    expect(await ask(client, request(7, 1, 1024, 1024, 1))).toEqual([512, -512]);
  });

  it('are told one at a time to who wants that', async () => {
    const client = await agreed(islands());
    expect(await ask(client, request(7, 1, 0, MIB, 8))).toEqual([-1024]);
    expect(await ask(client, request(7, 1, 1024, MIB - 1024, 8))).toEqual([512]);
  });

  it('are bounded in number for one answer', async () => {
    const device = new MemoryDevice(MIB).tellHoles();
    for (let at = 0; at < MIB; at += 1024) device.content.fill(1, at, at + 512);
    const client = await agreed(device);
    expect(await ask(client, request(7, 1, 0, MIB))).toHaveLength(128);
  });

  it.each([
    ['who never chose the context', [STRUCTURED, go()]],
    ['who chose it and then nothing', [STRUCTURED, choose(ALLOCATION), choose([]), go()]],
    ['whose last choice failed', [STRUCTURED, choose(ALLOCATION), choose(ALLOCATION, 'no'), go()]],
    ['who chose it for the export by another name', [STRUCTURED, choose(ALLOCATION, ''), go()]],
  ])('are not told to a client %s', async (_name, sent) => {
    const device = islands();
    const client = await greeted(device);
    await options(client, ...sent);
    client.socket.write(request(7, 1, 0, 512));
    expect(await chunk(client)).toMatchObject({ type: 0x8001 });
    expect(device.requests).toEqual([]);
  });

  it('are chosen with the oldest way to take an export, too', async () => {
    const client = await greeted(islands());
    await options(client, STRUCTURED, choose(ALLOCATION));
    client.socket.write(encodeOption(1, Buffer.from('disk1')));
    await client.take(10);
    expect(await ask(client, request(7, 1, 0, 1536))).toEqual([-1024, 512]);
  });

  it('are told to who says goodbye before the answer, and to nobody who is gone', async () => {
    const device = islands();
    device.held = [];
    const served = await serve(device);
    const [leaving, gone] = [await agreedWith(served), await agreedWith(served)];
    leaving.socket.write(Buffer.concat([request(7, 1, 0, 1536), request(2, 2, 0, 0)]));
    gone.socket.write(request(7, 1, 0, 512));
    await until(() => device.held?.length === 2);
    gone.socket.destroy();
    await gone.closed;
    device.release();
    expect(decodeStatus((await chunk(leaving)).payload).pieces).toHaveLength(2);
    await leaving.closed;
    await until(() => served.server.clients === 0);
  });

  it('that the device cannot tell are an error', async () => {
    const device = islands();
    const client = await agreed(device);
    device.error = 'ESHUTDOWN';
    client.socket.write(request(7, 1, 0, 512));
    const { type, payload } = await chunk(client);
    expect([type, payload.readUInt32BE(0)]).toEqual([0x8001, 108]);
  });
});
