/** Every codec with good input, captured where there are captures. */
import { readdirSync, readFileSync } from 'node:fs';
import { NO_ID, VIRGIN_RECORD } from '../../../src/model/record.ts';
import { decodeCarp } from '../../../src/protocol/carp.ts';
import { decodeControlRequest } from '../../../src/protocol/control-request.ts';
import { encodeFrame, FrameReader } from '../../../src/protocol/hast-frame.ts';
import {
  encodeReply,
  encodeRequest,
  packPayload,
  unpackPayload,
} from '../../../src/protocol/hast-message.ts';
import {
  decodeMetadataBlock,
  encodeMetadataBlock,
  encodeThirdCopy,
} from '../../../src/protocol/hast-metadata.ts';
import { decodeIPv4 } from '../../../src/protocol/ipv4.ts';
import { lzfCompress, lzfDecompress } from '../../../src/protocol/lzf.ts';
import * as nbd from '../../../src/protocol/nbd.ts';
import { decodeMetaContextOption, encodeMetaContextOption } from '../../../src/protocol/nbd-meta-context.ts';
import * as negotiation from '../../../src/protocol/nbd-negotiation.ts';
import * as structured from '../../../src/protocol/nbd-structured.ts';
import { decodeNv } from '../../../src/protocol/nv.ts';
import type { NvMap } from '../../../src/protocol/nv.ts';
import { decodePeerMessage, encodePeerMessage } from '../../../src/protocol/peer-message.ts';
import type { Codec } from '../../support/bad-input.ts';

const vectors = new URL('../../vectors/', import.meta.url);
const MAX_DATA = 131072;
const HEADER = 5;
/** Longer samples are cut: what is behind is more of the same. Bytes */
const SAMPLE = 1200;

/** Files of a folder of vectors whose name ends so, shortened, no two alike. */
function captured(folder: string, ending: string, most = SAMPLE): Buffer[] {
  const names = readdirSync(new URL(folder, vectors), { recursive: true }).map(String).sort();
  const all = names
    .filter((name) => name.endsWith(ending))
    .map((name) => readFileSync(new URL(`${folder}/${name}`, vectors)).subarray(0, most));
  return [...new Map(all.map((bytes) => [bytes.toString('latin1'), bytes])).values()];
}

function carpPackets(): Buffer[] {
  const text = readFileSync(new URL('carp/carp-ucarp.json', vectors), 'utf8');
  return [...text.matchAll(/"packetHex": "([0-9a-f]+)"/g)]
    .slice(0, 12)
    .map(([, hex]) => Buffer.from(hex ?? '', 'hex'));
}

const STREAMS = [...captured('hast/streams', '_p2s.bin'), ...captured('hast/streams', '_s2p.bin')].slice(
  0,
  24,
);
const NO_BLOCK = Buffer.alloc(4096);
const TEXT = Buffer.from('hast and carp '.repeat(300));

const META = {
  ...{ resource: 'disk1', datasize: 67104256, extentsize: 2097152, keepdirty: 64, offset: 4608 },
  ...{ resuid: 7n, localcnt: 1n, remotecnt: 0n, prevrole: 'primary' as const },
};
const OWN = { record: { ...VIRGIN_RECORD, inSync: ['alpha', 'beta'] }, sequence: 3n, canary: NO_ID };

/** Everything that a session or a link asks of a message. */
function readMessage(nv: NvMap): unknown {
  return [
    nv.fields(),
    nv.number('cmd', 'uint8'),
    nv.big('seq', 'uint64'),
    nv.size('offset'),
    nv.number('error', 'int16'),
    nv.has('memsync'),
    nv.string('errmsg'),
    nv.bytes('token'),
  ];
}

const LIMITS = { maxNvBytes: 65536, maxDataBytes: MAX_DATA };
const readFrames = (input: Buffer): unknown =>
  new FrameReader(LIMITS).push(input).map(({ nv, data }) => [nv.fields(), data?.length]);

/** A message as it stands in one buffer: the frame, then its data. */
function withPayload(
  data: Buffer,
  sum: 'none' | 'crc32' | 'sha256',
  compression: 'none' | 'hole' | 'lzf',
): Buffer {
  const packed = packPayload(data, sum, compression);
  return Buffer.concat(encodeFrame(2, packed.fields, packed.data));
}

const nbdInfo = (data: Buffer): Buffer => Buffer.concat([Buffer.from([0]), data]);
const NBD_READERS: readonly ((input: Buffer) => unknown)[] = [
  negotiation.decodeInfo,
  negotiation.decodeGoOption,
  negotiation.decodeOptionHeader,
  negotiation.decodeOptionReplyHeader,
  negotiation.decodeGreeting,
  negotiation.decodeClientFlags,
  decodeMetaContextOption,
];

/** A chunk that says where there are holes. */
function statusChunk(): Buffer {
  const pieces = [false, true, false].map((hole, index) => ({ length: 512 << index, hole }));
  const bytes = Buffer.alloc(structured.statusChunkBytes(pieces.length));
  structured.writeStatusChunk(nbd.viewOf(bytes), 0, 7, 9, 1, pieces);
  return bytes;
}

function readChunk(input: Buffer): unknown {
  const { type, length } = structured.decodeChunkHeader(input);
  if (type !== structured.ChunkType.BLOCK_STATUS) return type;
  const start = structured.CHUNK_HEADER_BYTES;
  return structured.decodeStatus(input.subarray(start, start + length));
}

export const CODECS: readonly Codec[] = [
  {
    name: 'nv',
    samples: STREAMS.map((stream) => stream.subarray(HEADER, HEADER + stream.readUInt32LE(1))),
    decode: (input) => decodeNv(input).fields(),
    maxBuffer: 0,
  },
  { name: 'frames', samples: STREAMS, decode: readFrames, maxBuffer: MAX_DATA },
  {
    name: 'frames in pieces',
    samples: STREAMS,
    decode: (input) => {
      const reader = new FrameReader(LIMITS);
      const cut = (input[input.length >> 1] ?? 0) % (input.length + 1);
      return [...reader.push(input.subarray(0, cut)), ...reader.push(input.subarray(cut))].length;
    },
    maxBuffer: MAX_DATA,
  },
  {
    name: 'requests and replies',
    samples: [
      encodeRequest(2, 2, 5n, 4096, 512, { memsync: true }),
      encodeRequest(2, 1, 6n, 0, 131072),
      encodeRequest(1, 5, 0n, 0, 0),
      encodeReply(2, 5n, { received: true }),
      encodeReply(2, 6n, { error: 5 }),
    ],
    decode: (input) => new FrameReader(LIMITS).push(input).map(({ nv }) => readMessage(nv)),
    maxBuffer: MAX_DATA,
  },
  {
    name: 'payload',
    samples: [
      withPayload(TEXT, 'crc32', 'lzf'),
      withPayload(TEXT.subarray(0, 2048), 'none', 'lzf'),
      withPayload(Buffer.alloc(4096), 'sha256', 'hole'),
      withPayload(TEXT.subarray(0, 512), 'sha256', 'none'),
    ],
    decode: (input) =>
      new FrameReader(LIMITS)
        .push(input)
        .map(({ nv, data }) => data && unpackPayload(nv, data, null, MAX_DATA).length),
    maxBuffer: MAX_DATA,
  },
  {
    name: 'lzf',
    samples: [TEXT, Buffer.alloc(TEXT.length, 'abcabd')].map(
      (text) => lzfCompress(text, text.length) ?? Buffer.alloc(0),
    ),
    decode: (input) => lzfDecompress(input, TEXT.length),
    maxBuffer: TEXT.length,
  },
  {
    name: 'metadata',
    samples: [...captured('hast/metadata', '.bin', 4096).slice(0, 4), encodeMetadataBlock(META, OWN)].map(
      (block) => Buffer.concat([block.subarray(0, 640), block.subarray(2048, 2688)]),
    ),
    decode: (input) => {
      const block = Buffer.alloc(4096);
      input.copy(block, 0, 0, Math.min(input.length, 640));
      input.subarray(640).copy(block, 2048);
      return decodeMetadataBlock(block, null);
    },
    maxBuffer: 4096,
  },
  {
    name: 'third copy of metadata',
    samples: [encodeThirdCopy(META, OWN)],
    decode: (input) => decodeMetadataBlock(NO_BLOCK, input),
    maxBuffer: 4096,
  },
  { name: 'carp', samples: carpPackets(), decode: decodeCarp, maxBuffer: 0 },
  {
    name: 'ipv4',
    samples: [
      '450000380000000040700000c0a80101e0000012',
      '460000380000000040700000c0a80101e000001294040000',
    ].map((hex) => Buffer.from(hex, 'hex')),
    decode: decodeIPv4,
    maxBuffer: 0,
  },
  {
    name: 'peer messages',
    samples: [
      encodePeerMessage({ type: 'request', id: 1, method: 'claim', params: { group: 'storage', epoch: 3 } }),
      encodePeerMessage({ type: 'reply', id: 1, ok: true, result: { agreed: true } }),
      encodePeerMessage({ type: 'reply', id: 2, ok: false, error: { code: 'x', message: 'y' } }),
    ],
    decode: decodePeerMessage,
    maxBuffer: 65536,
  },
  {
    name: 'control requests',
    samples: [
      '{"id":1,"command":"status","args":{}}',
      '{"id":2,"command":"role","args":{"role":"primary"}}',
    ].map((line) => Buffer.from(line)),
    decode: (input) => decodeControlRequest(input.toString()),
    maxBuffer: 0,
  },
  {
    name: 'nbd',
    samples: [
      nbd.encodeRequest({ flags: 1, type: 1, cookieHigh: 7, cookieLow: 9, offset: 4096, length: 4096 }),
      nbd.encodeSimpleReply({ error: 5, cookieHigh: 7, cookieLow: 9 }),
    ],
    decode: (input) => (input.length >= 28 ? nbd.decodeRequest(input) : nbd.decodeSimpleReply(input)),
    maxBuffer: 0,
  },
  {
    name: 'nbd negotiation',
    // The first byte says which of the seven it is.
    samples: [
      nbdInfo(negotiation.encodeExportInfo(1 << 20, 3)),
      nbdInfo(negotiation.encodeBlockSizeInfo(512, 4096, 1 << 20)),
      Buffer.concat([Buffer.from([1]), negotiation.encodeGoOption({ name: 'disk1', infos: [0, 3] })]),
      Buffer.concat([Buffer.from([2]), negotiation.encodeOption(7, Buffer.alloc(12))]),
      Buffer.concat([Buffer.from([3]), negotiation.encodeOptionReply(7, 1)]),
      Buffer.concat([Buffer.from([4]), negotiation.encodeGreeting()]),
      Buffer.concat([Buffer.from([5]), negotiation.encodeClientFlags(3)]),
      ...[[], ['base:'], ['base:allocation', 'qemu:dirty-bitmap:x', '']].map((queries) =>
        Buffer.concat([Buffer.from([6]), encodeMetaContextOption({ exportName: 'disk1', queries })]),
      ),
    ],
    decode: (input) => NBD_READERS[(input[0] ?? 0) % NBD_READERS.length]?.(input.subarray(1)),
    maxBuffer: 0,
  },
  {
    name: 'nbd chunks',
    samples: [statusChunk()],
    decode: readChunk,
    maxBuffer: 0,
  },
];
