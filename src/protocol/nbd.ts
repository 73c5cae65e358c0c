/**
 * NBD transmission phase: requests and simple replies, as both sides read and write them. Structured replies stand in
 * nbd-structured.ts.
 * All numbers are big-endian. The handshake stands in nbd-negotiation.ts.
 * @see NBD protocol, "Transmission phase"
 */
import { WireError } from '../model/errors.ts';

const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;

export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
/** What a client may ask for without having negotiated: "a client SHOULD NOT ... larger than 32 MiB". */
export const MAX_PAYLOAD_BYTES = 32 * 1024 * 1024;

export const NbdCommand = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const CommandFlag = {
  FUA: 1 << 0,
  /** WRITE_ZEROES: space may not be given back. */
  NO_HOLE: 1 << 1,
  /** READ: all data in one chunk. */
  DF: 1 << 2,
  /** BLOCK_STATUS: no more than the first piece. */
  REQ_ONE: 1 << 3,
  /** WRITE_ZEROES: ENOTSUP at once unless it is quicker than writing. */
  FAST_ZERO: 1 << 4,
} as const;

/** Flags of an export, sent with its size. */
export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_FAST_ZERO: 1 << 11,
} as const;

const ERROR_NUMBERS: Readonly<Record<string, number>> = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
};
const ERROR_NAMES = new Map(Object.entries(ERROR_NUMBERS).map(([name, number]) => [number, name]));

/** The protocol wants a full quota and a full file told as a full disk. */
const ALIASES: Readonly<Record<string, string>> = {
  EDQUOT: 'ENOSPC',
  EFBIG: 'ENOSPC',
  EOPNOTSUPP: 'ENOTSUP',
};

/** NBD's number for a POSIX name; what NBD has no number for is EIO, null is 0. */
export function nbdError(name: string | null): number {
  return name === null ? 0 : (ERROR_NUMBERS[ALIASES[name] ?? name] ?? 5);
}

/** POSIX name of a reply's error, null for success. Numbers that NBD does not define are EIO. */
export function nbdErrorName(error: number): string | null {
  return error === 0 ? null : (ERROR_NAMES.get(error) ?? 'EIO');
}

/** The cookie is kept as two halves: a bigint for each request would cost more than the rest of the parsing. */
export interface NbdRequest {
  readonly flags: number;
  readonly type: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** Bytes. Above 2^53 inexact, which no export reaches. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

export type MutableRequest = { -readonly [Field in keyof NbdRequest]: NbdRequest[Field] };

export interface NbdSimpleReply {
  readonly error: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

export function encodeRequest(request: NbdRequest): Buffer {
  const bytes = Buffer.allocUnsafe(REQUEST_BYTES);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(request.flags, 4);
  bytes.writeUInt16BE(request.type, 6);
  bytes.writeUInt32BE(request.cookieHigh, 8);
  bytes.writeUInt32BE(request.cookieLow, 12);
  bytes.writeBigUInt64BE(BigInt(request.offset), 16);
  bytes.writeUInt32BE(request.length, 24);
  return bytes;
}

/** @throws WireError `nbd-truncated`, `nbd-magic` */
export function decodeRequest(bytes: Buffer, at = 0): NbdRequest {
  needBytes(bytes, at, REQUEST_BYTES, 'request');
  return readRequest(viewOf(bytes), at, noRequest());
}

/** One to be filled by readRequest(). */
export function noRequest(): MutableRequest {
  return { flags: 0, type: 0, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
}

/**
 * As decodeRequest(), of REQUEST_BYTES that are there, into an object that is used again and again: for who
 * reads a hundred thousand in a second.
 * @returns `into`
 * @throws WireError `nbd-magic`
 */
export function readRequest(view: DataView, at: number, into: MutableRequest): NbdRequest {
  if (view.getUint32(at) !== REQUEST_MAGIC) throw wrongMagic(view, at, REQUEST_MAGIC, 'request.magic');
  into.flags = view.getUint16(at + 4);
  into.type = view.getUint16(at + 6);
  into.cookieHigh = view.getUint32(at + 8);
  into.cookieLow = view.getUint32(at + 12);
  into.offset = view.getUint32(at + 16) * 0x1_0000_0000 + view.getUint32(at + 20);
  into.length = view.getUint32(at + 24);
  return into;
}

/** Writes a reply's 16 header bytes; returns where the next one goes. */
export function writeSimpleReply(
  view: DataView,
  at: number,
  error: number,
  cookieHigh: number,
  cookieLow: number,
): number {
  view.setUint32(at, SIMPLE_REPLY_MAGIC);
  view.setUint32(at + 4, error);
  view.setUint32(at + 8, cookieHigh);
  view.setUint32(at + 12, cookieLow);
  return at + SIMPLE_REPLY_BYTES;
}

export function encodeSimpleReply(reply: NbdSimpleReply): Buffer {
  const bytes = Buffer.allocUnsafe(SIMPLE_REPLY_BYTES);
  writeSimpleReply(viewOf(bytes), 0, reply.error, reply.cookieHigh, reply.cookieLow);
  return bytes;
}

/** @throws WireError `nbd-truncated`, `nbd-magic` */
export function decodeSimpleReply(bytes: Buffer, at = 0): NbdSimpleReply {
  needBytes(bytes, at, SIMPLE_REPLY_BYTES, 'reply');
  if (bytes.readUInt32BE(at) !== SIMPLE_REPLY_MAGIC)
    throw wrongMagic(viewOf(bytes), at, SIMPLE_REPLY_MAGIC, 'reply.magic');
  return {
    error: bytes.readUInt32BE(at + 4),
    cookieHigh: bytes.readUInt32BE(at + 8),
    cookieLow: bytes.readUInt32BE(at + 12),
  };
}

/** Reading numbers through it costs a sixth of what Buffer's methods cost. */
export function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function wrongMagic(view: DataView, at: number, magic: number, field: string): WireError {
  const found = view.getUint32(at);
  return new WireError(
    'nbd-magic',
    at,
    field,
    `NBD ${field} is 0x${found.toString(16)}, not 0x${magic.toString(16)}: the stream is out of step, close it`,
  );
}

/** @throws WireError `nbd-truncated` when fewer than `length` bytes follow `at` */
export function needBytes(bytes: Buffer, at: number, length: number, field: string): void {
  if (bytes.length - at < length) {
    throw new WireError(
      'nbd-truncated',
      bytes.length,
      field,
      `NBD ${field} needs ${length} bytes at ${at}, only ${bytes.length - at} are there`,
    );
  }
}
