/** A plain hastd as primary: captured streams are replayed against our secondary. */
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { decodeNv } from '../../../src/protocol/nv.ts';
import type { NvField } from '../../../src/protocol/nv.ts';
import {
  METADATA_BYTES,
  decodeMetadataBlock,
  encodeMetadataBlock,
} from '../../../src/protocol/hast-metadata.ts';
import { SimPair } from '../../../src/simulate/sim-node.ts';
import { fieldsOf, shakeHands, text, u64, u8, VIRGIN, Wire } from '../../support/sim-wire.ts';

interface Message {
  readonly off: number;
  readonly total_len: number;
  readonly fields: Record<string, unknown>;
}
interface Index {
  readonly connections: {
    readonly conn: number;
    readonly p2s: { readonly messages: Message[] };
    readonly s2p: { readonly messages: Message[] };
  }[];
}

const vectors = new URL('../../vectors/hast/', import.meta.url);
const bytesOf = (path: string): Buffer => readFileSync(new URL(path, vectors));
const jsonOf = (path: string): unknown => JSON.parse(bytesOf(path).toString());

const RESOURCE = { resource: 'test', sizeBytes: 64 * 1024 * 1024, extentsize: 2097152, keepdirty: 64 };

let pair: SimPair;

async function secondary(compression: 'none' | 'hole' = 'hole'): Promise<void> {
  pair = new SimPair(7, { ...RESOURCE, compression, peerKind: 'hastd' });
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
}

const shake = (request: readonly NvField[], version = 2) => shakeHands(pair, request, version);

describe.each(['memsync-none-none', 'memsync-crc32-lzf', 'fullsync-none-none', 'resync-from-primary'])(
  'the captured stream %s',
  (name) => {
    test('gets the answers that the real secondary gave', async () => {
      await secondary(name === 'resync-from-primary' || name.endsWith('lzf') ? 'hole' : 'none');
      const index = jsonOf(`streams/${name}/index.json`) as Index;
      const { connections } = index;
      for (let i = 0; i + 1 < connections.length; i += 2)
        await replay(name, connections[i], connections[i + 1]);
    });
  },
);

async function replay(name: string, first?: Index['connections'][0], second?: Index['connections'][0]) {
  if (first === undefined || second === undefined) throw new Error('half a session');
  const out = bytesOf(`streams/${name}/conn${first.conn}_p2s.bin`);
  const back = bytesOf(`streams/${name}/conn${second.conn}_p2s.bin`);
  const one = await Wire.to(pair, 'beta');
  const helloBytes = first.p2s.messages[0]?.total_len ?? 0;
  one.raw(out.subarray(0, helloBytes));
  const hello = fieldsOf(await one.next());
  const token = String(hello['token']);
  expect(hello['version']).toBe(first.s2p.messages[0]?.fields['version']);
  const two = await Wire.to(pair, 'beta');
  // The captured request with our token in place of theirs.
  const request = Buffer.from(back.subarray(0, second.p2s.messages[0]?.total_len));
  const theirs = decodeNv(request.subarray(5)).bytes('token') ?? Buffer.alloc(0);
  Buffer.from(token, 'hex').copy(theirs);
  two.raw(request);
  expect(fieldsOf(await one.next())).toEqual(first.s2p.messages[1]?.fields);
  const replies: Record<string, unknown>[] = [];
  let sent = helloBytes;
  for (const message of first.p2s.messages.slice(1)) {
    one.raw(out.subarray(message.off, message.off + message.total_len));
    sent = message.off + message.total_len;
    replies.push(...(await two.all(8)).map(fieldsOf));
  }
  expect(sent).toBe(out.length);
  expect(replies).toEqual(second.s2p.messages.map((message) => message.fields));
  one.close();
  two.close();
  await pair.clock.run(50);
}

test('every kind of request of a foreign primary is answered as hastd answers it', async () => {
  await secondary('hole');
  const { streams } = jsonOf('fakeprimary/session-ok/index.json') as { streams: Record<string, Message[]> };
  const out = bytesOf('fakeprimary/session-ok/conn1_p2s.bin');
  const { one, two } = await shake(VIRGIN);
  const requests = (streams['conn1_p2s.bin'] ?? []).slice(1);
  one.raw(out.subarray(requests[0]?.off));
  const replies = (await two.all(100)).map(fieldsOf);
  expect(replies.filter((reply) => reply['received'] === undefined)).toEqual(
    (streams['conn2_s2p.bin'] ?? []).map((m) => m.fields).filter((f) => f['received'] === undefined),
  );
  expect(replies.filter((reply) => reply['received'] !== undefined)).toEqual([{ seq: 2, received: 1 }]);
});

describe('a request that is refused', () => {
  beforeEach(() => secondary());

  test('WRITE beyond the end: EINVAL, its data is consumed and the stream goes on', async () => {
    const { one, two } = await shake(VIRGIN);
    const write = (seq: number, offset: number): void =>
      one.send(
        [u8('cmd', 2), u64('seq', seq), u64('offset', offset), u64('length', 512)],
        Buffer.alloc(512, 3),
      );
    write(1, 2 ** 40);
    write(2, 0);
    expect((await two.all(50)).map(fieldsOf)).toEqual([{ seq: 1, error: 22 }, { seq: 2 }]);
  });

  test('memsync WRITE: one answer with both received and error', async () => {
    const { one, two } = await shake(VIRGIN);
    one.send(
      [u8('cmd', 2), u64('seq', 9), u64('offset', 100), u64('length', 512), u8('memsync', 1)],
      Buffer.alloc(512),
    );
    expect((await two.all(50)).map(fieldsOf)).toEqual([{ seq: 9, received: 1, error: 22 }]);
  });

  test('an unknown command, or none, is answered with an error', async () => {
    const { one, two } = await shake(VIRGIN);
    one.send([u8('cmd', 9), u64('seq', 1)]);
    one.send([u64('seq', 2)]);
    one.send([u8('cmd', 1), u64('seq', 3), u64('offset', 2n ** 63n), u64('length', 512)]);
    one.send([u8('cmd', 4), u64('seq', 4)]);
    expect((await two.all(50)).map(fieldsOf)).toEqual([
      { seq: 1, error: 22 },
      { seq: 2, error: 22 },
      { seq: 3, error: 22 },
      { seq: 4 },
    ]);
  });

  test('bytes that are no frame close the link with a reason, and the node goes on', async () => {
    const { one } = await shake(VIRGIN);
    one.raw(Buffer.alloc(64, 0xee));
    await pair.clock.run(50);
    expect(one.closed).not.toBeNull();
    expect(pair.beta.events.at(-1)).toMatchObject({ kind: 'disconnected' });
    await expect(
      shake([u64('resuid', 4660), u64('localcnt', 0), u64('remotecnt', 0)]),
    ).resolves.toBeDefined();
  });

  test('a wrong checksum closes the link and writes nothing', async () => {
    const { one } = await shake(VIRGIN);
    one.send(
      [
        u8('cmd', 2),
        u64('seq', 1),
        u64('offset', 0),
        u64('length', 512),
        text('checksum', 'crc32'),
        { name: 'hash', type: 'bytes', value: Buffer.alloc(4, 1) },
      ],
      Buffer.alloc(512, 5),
    );
    await pair.clock.run(50);
    expect(one.closed).not.toBeNull();
    expect(pair.beta.data.subarray(0, 512).every((byte) => byte === 0)).toBe(true);
  });
});

describe('the handshake', () => {
  beforeEach(() => secondary());

  test('a wrong token is refused in hastd’s words', async () => {
    const one = await Wire.to(pair, 'beta');
    one.send([text('resource', 'test'), u8('version', 2)]);
    await one.next();
    const two = await Wire.to(pair, 'beta');
    two.send([
      text('resource', 'test'),
      { name: 'token', type: 'bytes', value: Buffer.alloc(16) },
      ...VIRGIN,
    ]);
    expect(fieldsOf(await two.next())).toEqual({ errmsg: "Token doesn't match." });
  });

  test('a node that is not secondary says what it is', async () => {
    await pair.beta.run({ type: 'prepare-primary', epoch: pair.nextEpoch(), inSync: ['beta'] });
    const one = await Wire.to(pair, 'beta');
    one.send([text('resource', 'test'), u8('version', 2)]);
    expect(fieldsOf(await one.next())).toEqual({
      errmsg: 'Remote node acts as init for the resource and not as secondary.',
    });
  });

  test('version 3 gets 2, no version gets 1', async () => {
    expect((await shake(VIRGIN, 3)).hello.nv.number('version', 'uint8')).toBe(2);
    expect((await shake(VIRGIN, 0)).hello.nv.number('version', 'uint8')).toBe(1);
  });

  test('another unique ID is refused, naming both', async () => {
    await shake(VIRGIN);
    const { reply } = await shake([u64('resuid', 17), u64('localcnt', 0), u64('remotecnt', 0)]);
    expect(reply.nv.string('errmsg')).toBe('Resource unique ID mismatch (primary=17, secondary=4660).');
  });

  test('a fresh disk beside a used primary asks for everything, and still does after a crash', async () => {
    const used = [u64('resuid', 4660), u64('localcnt', 1), u64('remotecnt', 0)];
    const first = await shake(used);
    expect(fieldsOf(first.reply)).toMatchObject({ virgin: 1, syncsrc: 1, mapsize: 512 });
    expect(first.reply.data?.[3]).toBe(0xff);
    pair.beta.crash('power');
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    const again = await shake(used);
    expect(again.reply.data?.subarray(0, 4)).toEqual(Buffer.alloc(4, 0xff));
  });
});

describe('the decision table, as captured', () => {
  const rows = jsonOf('fakeprimary/decision_table.json') as Record<string, unknown>[];
  test.each(
    rows.map((row) => [`p=(${String(row['pri_localcnt'])},${String(row['pri_remotecnt'])})`, row] as const),
  )('s=(3,3) %s', async (_, row) => {
    await secondary();
    const { disk } = pair.beta;
    pair.beta.crash('process');
    const { meta } = decodeMetadataBlock(disk.content.subarray(0, METADATA_BYTES), null);
    const used = { ...meta, resuid: 4660n, localcnt: 3n, remotecnt: 3n, prevrole: 'secondary' as const };
    encodeMetadataBlock(used, null).copy(disk.content, 0);
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    const { reply } = await shake([
      u64('resuid', 4660),
      u64('localcnt', Number(row['pri_localcnt'])),
      u64('remotecnt', Number(row['pri_remotecnt'])),
    ]);
    const fields = fieldsOf(reply);
    expect([
      fields['errmsg'] ?? null,
      fields['syncsrc'] ?? null,
      fields['mapsize'] ?? null,
      fields['compression'] ?? null,
      reply.data?.toString('hex', 0, 4) ?? '',
    ]).toEqual([row['errmsg'], row['syncsrc'], row['mapsize'], row['compression'], row['map_head']]);
  });
});
