/**
 * NBD fixed-newstyle handshake: greeting, options and their replies, as both sides
 * read and write them. All numbers are big-endian; names are UTF-8.
 * @see NBD protocol, "Fixed newstyle negotiation", "Option types", "Option reply types"
 */
import { WireError } from '../model/errors.ts';
import { needBytes } from './nbd.ts';

const NBD_MAGIC = 0x4e42444d41474943n;
const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;

export const GREETING_BYTES = 18;
export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_HEADER_BYTES = 16;
export const OPTION_REPLY_HEADER_BYTES = 20;
/** Strings are at most 4096 bytes; no option that we take needs more than two of them. */
export const MAX_OPTION_BYTES = 8192;
/** Names of exports, queries. */
export const MAX_NAME_BYTES = 4096;
const EXPORT_NAME_PADDING = 124;

export const HANDSHAKE_FIXED_NEWSTYLE = 1;
export const HANDSHAKE_NO_ZEROES = 2;

export const NbdOption = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

export const NbdReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_INVALID: 0x80000003,
  ERR_UNKNOWN: 0x80000006,
  ERR_TOO_BIG: 0x80000009,
} as const;

export const NbdInfo = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export interface OptionHeader {
  readonly option: number;
  readonly length: number;
}

export interface GoOption {
  readonly name: string;
  /** Kinds of information that the client asks for. */
  readonly infos: readonly number[];
}

export interface OptionReplyHeader {
  readonly option: number;
  readonly type: number;
  readonly length: number;
}

export type InfoReply =
  | { readonly kind: 'export'; readonly sizeBytes: number; readonly flags: number }
  | {
      readonly kind: 'block-size';
      readonly minimum: number;
      readonly preferred: number;
      readonly maximum: number;
    }
  | { readonly kind: 'other'; readonly type: number };

/** The first bytes of a server. */
export function encodeGreeting(): Buffer {
  const bytes = Buffer.allocUnsafe(GREETING_BYTES);
  bytes.writeBigUInt64BE(NBD_MAGIC, 0);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
  bytes.writeUInt16BE(HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES, 16);
  return bytes;
}

/** @returns the server's handshake flags. @throws WireError `nbd-truncated`, `nbd-magic` (also for an oldstyle server) */
export function decodeGreeting(bytes: Buffer): number {
  needBytes(bytes, 0, GREETING_BYTES, 'greeting');
  expectMagic(bytes, 0, NBD_MAGIC, 'greeting.magic');
  expectMagic(bytes, 8, OPTION_MAGIC, 'greeting.option-magic');
  return bytes.readUInt16BE(16);
}

export function encodeClientFlags(flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(CLIENT_FLAGS_BYTES);
  bytes.writeUInt32BE(flags, 0);
  return bytes;
}

/** @throws WireError `nbd-truncated`; `nbd-client-flags` for flags that were not offered: the connection must be closed */
export function decodeClientFlags(bytes: Buffer): { readonly noZeroes: boolean } {
  needBytes(bytes, 0, CLIENT_FLAGS_BYTES, 'client-flags');
  const flags = bytes.readUInt32BE(0);
  if ((flags & ~(HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES)) !== 0) {
    throw new WireError(
      'nbd-client-flags',
      0,
      'client-flags',
      `NBD client flags 0x${flags.toString(16)} were not offered`,
    );
  }
  return { noZeroes: (flags & HANDSHAKE_NO_ZEROES) !== 0 };
}

export function encodeOption(option: number, data: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(OPTION_HEADER_BYTES + data.length);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(data.length, 12);
  data.copy(bytes, OPTION_HEADER_BYTES);
  return bytes;
}

/** @throws WireError `nbd-truncated`, `nbd-magic`, `nbd-option-length` above MAX_OPTION_BYTES */
export function decodeOptionHeader(bytes: Buffer, at = 0): OptionHeader {
  needBytes(bytes, at, OPTION_HEADER_BYTES, 'option');
  expectMagic(bytes, at, OPTION_MAGIC, 'option.magic');
  const length = bytes.readUInt32BE(at + 12);
  checkLength(length, at + 12, 'option.length');
  return { option: bytes.readUInt32BE(at + 8), length };
}

/** Data of NBD_OPT_GO and NBD_OPT_INFO. */
export function encodeGoOption(go: GoOption): Buffer {
  const name = Buffer.from(go.name, 'utf8');
  const bytes = Buffer.alloc(4 + name.length + 2 + 2 * go.infos.length);
  bytes.writeUInt32BE(name.length, 0);
  name.copy(bytes, 4);
  bytes.writeUInt16BE(go.infos.length, 4 + name.length);
  go.infos.forEach((info, index) => bytes.writeUInt16BE(info, 6 + name.length + 2 * index));
  return bytes;
}

/** @throws WireError `nbd-truncated`, `nbd-option-length` when lengths contradict each other */
export function decodeGoOption(data: Buffer): GoOption {
  needBytes(data, 0, 6, 'go');
  const nameLength = data.readUInt32BE(0);
  if (nameLength > MAX_NAME_BYTES) throw badLength(0, 'go.name-length', nameLength);
  needBytes(data, 4, nameLength + 2, 'go.name');
  const count = data.readUInt16BE(4 + nameLength);
  if (data.length !== 6 + nameLength + 2 * count) throw badLength(4 + nameLength, 'go.info-count', count);
  const infos: number[] = [];
  for (let at = 6 + nameLength; at < data.length; at += 2) infos.push(data.readUInt16BE(at));
  return { name: data.toString('utf8', 4, 4 + nameLength), infos };
}

export function encodeOptionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.allocUnsafe(OPTION_REPLY_HEADER_BYTES + data.length);
  bytes.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(data.length, 16);
  data.copy(bytes, OPTION_REPLY_HEADER_BYTES);
  return bytes;
}

/** @throws WireError `nbd-truncated`, `nbd-magic`, `nbd-option-length` above MAX_OPTION_BYTES */
export function decodeOptionReplyHeader(bytes: Buffer, at = 0): OptionReplyHeader {
  needBytes(bytes, at, OPTION_REPLY_HEADER_BYTES, 'option-reply');
  expectMagic(bytes, at, OPTION_REPLY_MAGIC, 'option-reply.magic');
  const length = bytes.readUInt32BE(at + 16);
  checkLength(length, at + 16, 'option-reply.length');
  return { option: bytes.readUInt32BE(at + 8), type: bytes.readUInt32BE(at + 12), length };
}

/** Data of NBD_REP_INFO with the export's size and flags. */
export function encodeExportInfo(sizeBytes: number, flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  bytes.writeUInt16BE(NbdInfo.EXPORT, 0);
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 2);
  bytes.writeUInt16BE(flags, 10);
  return bytes;
}

/** Data of NBD_REP_INFO with what lengths and offsets must be multiples of. */
export function encodeBlockSizeInfo(minimum: number, preferred: number, maximum: number): Buffer {
  const bytes = Buffer.allocUnsafe(14);
  bytes.writeUInt16BE(NbdInfo.BLOCK_SIZE, 0);
  bytes.writeUInt32BE(minimum, 2);
  bytes.writeUInt32BE(preferred, 6);
  bytes.writeUInt32BE(maximum, 10);
  return bytes;
}

/** Data of NBD_REP_INFO with a name or a description. */
export function encodeTextInfo(type: number, text: string): Buffer {
  const bytes = Buffer.from(`\0\0${text}`, 'utf8');
  bytes.writeUInt16BE(type, 0);
  return bytes;
}

/** @throws WireError `nbd-truncated` */
export function decodeInfo(data: Buffer): InfoReply {
  needBytes(data, 0, 2, 'info');
  const type = data.readUInt16BE(0);
  if (type === NbdInfo.EXPORT) {
    needBytes(data, 0, 12, 'info.export');
    return { kind: 'export', sizeBytes: Number(data.readBigUInt64BE(2)), flags: data.readUInt16BE(10) };
  }
  if (type === NbdInfo.BLOCK_SIZE) {
    needBytes(data, 0, 14, 'info.block-size');
    return {
      kind: 'block-size',
      minimum: data.readUInt32BE(2),
      preferred: data.readUInt32BE(6),
      maximum: data.readUInt32BE(10),
    };
  }
  return { kind: 'other', type };
}

/** Data of NBD_REP_SERVER: one name of a listing, and words about it for people. */
export function encodeServerName(name: string, description = ''): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(name), 0);
  return Buffer.concat([length, Buffer.from(name, 'utf8'), Buffer.from(description, 'utf8')]);
}

/** The answer to NBD_OPT_EXPORT_NAME, which has no option reply around it. */
export function encodeExportNameAnswer(sizeBytes: number, flags: number, noZeroes: boolean): Buffer {
  const bytes = Buffer.alloc(10 + (noZeroes ? 0 : EXPORT_NAME_PADDING));
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 0);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}

function expectMagic(bytes: Buffer, at: number, magic: bigint, field: string): void {
  const found = bytes.readBigUInt64BE(at);
  if (found !== magic) {
    throw new WireError(
      'nbd-magic',
      at,
      field,
      `NBD ${field} is 0x${found.toString(16)}: this is no NBD peer`,
    );
  }
}

function checkLength(length: number, at: number, field: string): void {
  if (length > MAX_OPTION_BYTES) throw badLength(at, field, length);
}

function badLength(at: number, field: string, value: number): WireError {
  return new WireError('nbd-option-length', at, field, `NBD ${field} of ${value} does not fit`);
}
