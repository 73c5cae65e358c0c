/**
 * Requests and replies of the replication protocol, built from templates: the header and
 * the fixed fields are copied, only numbers are written.
 * @see hast.md section 6
 */
import { encodeFrame, FRAME_HEADER_BYTES } from './hast-frame.ts';
import { encodeNv } from './nv.ts';
import type { NvField } from './nv.ts';

export { errnoFromWire, errnoToWire } from './hast-errno.ts';
export { aboveOurs, encodeFrame, FrameReader, HAST_VERSION, refusesVersion } from './hast-frame.ts';
export type { Frame } from './hast-frame.ts';
export { packPayload, unpackPayload } from './hast-payload.ts';

export const HAST_CMD = { READ: 1, WRITE: 2, DELETE: 3, FLUSH: 4, KEEPALIVE: 5 } as const;
export type HastCommand = (typeof HAST_CMD)[keyof typeof HAST_CMD];

export interface RequestOptions {
  /** Ask for `received` before the final reply. */
  readonly memsync?: boolean;
  /** Further fields, which a plain hastd ignores. */
  readonly extra?: readonly NvField[];
  /** What packPayload returned. */
  readonly dataFields?: readonly NvField[];
  /** Bytes of data that will follow, as packed. */
  readonly size?: number;
}

export interface ReplyOptions {
  /** The memsync answer that comes before the final one. */
  readonly received?: boolean;
  /** A FreeBSD errno; absent or 0 is success. */
  readonly error?: number;
  readonly extra?: readonly NvField[];
  readonly dataFields?: readonly NvField[];
  readonly size?: number;
}

const u64 = (name: string): NvField => ({ name, type: 'uint64', value: 0 });
const u8 = (name: string, value: number): NvField => ({ name, type: 'uint8', value });

/** Every number below stands this many bytes after the start of its 22-byte entry. */
const VALUE_AT = 14;
const ENTRY_BYTES = 22;
const CMD_AT = FRAME_HEADER_BYTES + VALUE_AT;
const SEQ_AT = CMD_AT + ENTRY_BYTES;
const OFFSET_AT = SEQ_AT + ENTRY_BYTES;
const LENGTH_AT = OFFSET_AT + ENTRY_BYTES;
const REPLY_SEQ_AT = CMD_AT;

const KEEPALIVE = template([u8('cmd', HAST_CMD.KEEPALIVE)]);
const REQUEST = template([u8('cmd', 0), u64('seq'), u64('offset'), u64('length')]);
const MEMSYNC_REQUEST = template([u8('cmd', 0), u64('seq'), u64('offset'), u64('length'), u8('memsync', 1)]);
const REPLY = template([u64('seq')]);
const RECEIVED_REPLY = template([u64('seq'), { name: 'received', type: 'int8', value: 1 }]);
const ERROR = encodeNv([{ name: 'error', type: 'int16', value: 0 }]);
const SIZE = encodeNv([{ name: 'size', type: 'uint32', value: 0 }]);
const NOTHING = Buffer.alloc(0);

/**
 * @param version of the frame header, as negotiated
 * @param offset bytes from the start of the user data
 * @param length bytes of user data; the data itself is sent behind the result
 */
export function encodeRequest(
  version: number,
  cmd: HastCommand,
  seq: bigint | number,
  offset: number,
  length: number,
  opts: RequestOptions = {},
): Buffer {
  if (cmd === HAST_CMD.KEEPALIVE) return assemble(KEEPALIVE, version, NOTHING, opts);
  const out = assemble(opts.memsync === true ? MEMSYNC_REQUEST : REQUEST, version, NOTHING, opts);
  out[CMD_AT] = cmd;
  writeSeq(out, seq, SEQ_AT);
  writeSize(out, offset, OFFSET_AT);
  writeSize(out, length, LENGTH_AT);
  return out;
}

/** @param version of the frame header, as negotiated */
export function encodeReply(version: number, seq: bigint | number, opts: ReplyOptions = {}): Buffer {
  const failed = opts.error !== undefined && opts.error !== 0;
  const base = opts.received === true ? RECEIVED_REPLY : REPLY;
  const out = assemble(base, version, failed ? ERROR : NOTHING, opts);
  writeSeq(out, seq, REPLY_SEQ_AT);
  if (failed) out.writeInt16LE(opts.error ?? 0, base.length + VALUE_AT);
  return out;
}

/** Name of the field that asks, in a READ, for digest() instead of the data, and that answers it; between nodes that agreed on it. */
export const DIGEST = 'digest';

/** Names of the fields that answer many requests at once, between hastate nodes that agreed on it. */
export const BATCH = { received: 'recvs', done: 'acks' } as const;
/** Answers in one frame at most. */
export const MAX_BATCH = 4096;
const BATCH_VALUE_AT = FRAME_HEADER_BYTES + VALUE_AT;
const SEQ_BYTES = 8;
const BATCH_FRAMES = { received: batchTemplate(BATCH.received), done: batchTemplate(BATCH.done) };

/**
 * One frame that answers all these requests, in order: the peer has them in memory (`received`) or did
 * them (`done`). Without `seq`, so that nobody takes it for another answer.
 */
export function encodeBatch(version: number, kind: keyof typeof BATCH, seqs: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(BATCH_VALUE_AT + seqs.length * SEQ_BYTES);
  out.set(BATCH_FRAMES[kind]);
  out[0] = version;
  out.writeUInt32LE(out.length - FRAME_HEADER_BYTES, 1);
  out.writeUInt32LE(seqs.length * SEQ_BYTES, FRAME_HEADER_BYTES + 2);
  seqs.forEach((seq, index) => writeSize(out, seq, BATCH_VALUE_AT + index * SEQ_BYTES));
  return out;
}

/** The `seq`s of a batch's field. */
export function decodeBatch(value: Buffer): number[] {
  const seqs: number[] = [];
  for (let at = 0; at + SEQ_BYTES <= value.length; at += SEQ_BYTES)
    seqs.push(value.readUInt32LE(at + 4) * 0x1_0000_0000 + value.readUInt32LE(at));
  return seqs;
}

function batchTemplate(name: string): Buffer {
  return template([{ name, type: 'bytes', value: Buffer.alloc(SEQ_BYTES) }]).subarray(0, BATCH_VALUE_AT);
}

function template(fields: readonly NvField[]): Buffer {
  return Buffer.concat(encodeFrame(0, fields));
}

function assemble(
  base: Buffer,
  version: number,
  error: Buffer,
  opts: { extra?: readonly NvField[]; dataFields?: readonly NvField[]; size?: number },
): Buffer {
  const extra = fieldBytes(opts.extra);
  const dataFields = fieldBytes(opts.dataFields);
  const size = opts.size === undefined ? NOTHING : SIZE;
  const total = base.length + error.length + extra.length + dataFields.length + size.length;
  const out = Buffer.allocUnsafe(total);
  out.set(base, 0);
  let at = base.length;
  if (at < total - size.length) {
    for (const part of [error, extra, dataFields]) {
      out.set(part, at);
      at += part.length;
    }
  }
  out.set(size, total - size.length);
  out[0] = version;
  out.writeUInt32LE(total - FRAME_HEADER_BYTES, 1);
  if (opts.size !== undefined) out.writeUInt32LE(opts.size, total - size.length + VALUE_AT);
  return out;
}

function fieldBytes(fields: readonly NvField[] | undefined): Buffer {
  return fields === undefined || fields.length === 0 ? NOTHING : encodeNv(fields);
}

function writeSeq(out: Buffer, seq: bigint | number, at: number): void {
  if (typeof seq === 'number') writeSize(out, seq, at);
  else out.writeBigUInt64LE(seq, at);
}

function writeSize(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % 0x100000000, at);
  out.writeUInt32LE(Math.floor(value / 0x100000000), at + 4);
}
