/**
 * NBD structured replies: chunks with a header of their own, for who has asked for them. All numbers are big-endian.
 * Every reply of ours is one chunk.
 * @see NBD protocol, "Structured reply chunk message", "Structured reply types"
 */
import type { Allocation } from '../model/block-device.ts';
import { WireError } from '../model/errors.ts';
import { needBytes } from './nbd.ts';

const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

export const CHUNK_HEADER_BYTES = 20;
/** Before the data of a read: the header, and where the data belongs. */
export const DATA_HEADER_BYTES = CHUNK_HEADER_BYTES + 8;
/** An error without words. */
export const ERROR_CHUNK_BYTES = CHUNK_HEADER_BYTES + 6;

export const ChunkType = { NONE: 0, OFFSET_DATA: 1, BLOCK_STATUS: 5, ERROR: 0x8001 } as const;
export const ChunkFlag = { DONE: 1 } as const;

/** What base:allocation says of a piece: HOLE and ZERO, or nothing. */
const HOLE_OF_ZEROS = 3;

export interface Chunk {
  readonly flags: number;
  readonly type: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** Bytes that follow the header. */
  readonly length: number;
}

/** The only and last chunk of a reply. */
export function writeChunkHeader(
  view: DataView,
  at: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  length: number,
): void {
  view.setUint32(at, STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, ChunkFlag.DONE);
  view.setUint16(at + 6, type);
  view.setUint32(at + 8, cookieHigh);
  view.setUint32(at + 12, cookieLow);
  view.setUint32(at + 16, length);
}

/** Writes DATA_HEADER_BYTES. @param length bytes of data behind them; `offset` is where they are on the disk */
export function writeDataHeader(
  view: DataView,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  offset: number,
  length: number,
): void {
  writeChunkHeader(view, at, ChunkType.OFFSET_DATA, cookieHigh, cookieLow, 8 + length);
  view.setUint32(at + 20, Math.floor(offset / 0x1_0000_0000));
  view.setUint32(at + 24, offset >>> 0);
}

/** Writes ERROR_CHUNK_BYTES. */
export function writeErrorChunk(
  view: DataView,
  at: number,
  error: number,
  cookieHigh: number,
  cookieLow: number,
): void {
  writeChunkHeader(view, at, ChunkType.ERROR, cookieHigh, cookieLow, 6);
  view.setUint32(at + 20, error);
  view.setUint16(at + 24, 0);
}

export function statusChunkBytes(pieces: number): number {
  return CHUNK_HEADER_BYTES + 4 + 8 * pieces;
}

/** Writes statusChunkBytes(). @param context as NBD_OPT_SET_META_CONTEXT was told */
export function writeStatusChunk(
  view: DataView,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  context: number,
  pieces: readonly Allocation[],
): void {
  writeChunkHeader(view, at, ChunkType.BLOCK_STATUS, cookieHigh, cookieLow, 4 + 8 * pieces.length);
  view.setUint32(at + 20, context);
  let next = at + 24;
  for (const { length, hole } of pieces) {
    view.setUint32(next, length);
    view.setUint32(next + 4, hole ? HOLE_OF_ZEROS : 0);
    next += 8;
  }
}

/** @throws WireError `nbd-truncated`, `nbd-magic` */
export function decodeChunkHeader(bytes: Buffer, at = 0): Chunk {
  needBytes(bytes, at, CHUNK_HEADER_BYTES, 'chunk');
  const magic = bytes.readUInt32BE(at);
  if (magic !== STRUCTURED_REPLY_MAGIC) {
    throw new WireError(
      'nbd-magic',
      at,
      'chunk.magic',
      `NBD chunk.magic is 0x${magic.toString(16)}: the stream is out of step, close it`,
    );
  }
  return {
    flags: bytes.readUInt16BE(at + 4),
    type: bytes.readUInt16BE(at + 6),
    cookieHigh: bytes.readUInt32BE(at + 8),
    cookieLow: bytes.readUInt32BE(at + 12),
    length: bytes.readUInt32BE(at + 16),
  };
}

/** What follows the header of a BLOCK_STATUS chunk. @throws WireError `nbd-truncated`, `nbd-status-length` */
export function decodeStatus(payload: Buffer): { readonly context: number; readonly pieces: Allocation[] } {
  needBytes(payload, 0, 12, 'status');
  if ((payload.length - 4) % 8 !== 0) {
    throw new WireError(
      'nbd-status-length',
      payload.length,
      'status',
      `NBD status of ${payload.length} bytes is no number of whole pieces`,
    );
  }
  const pieces: Allocation[] = [];
  for (let at = 4; at < payload.length; at += 8) {
    // Only what is certain to read as zeros.
    const hole = (payload.readUInt32BE(at + 4) & HOLE_OF_ZEROS) === HOLE_OF_ZEROS;
    pieces.push({ length: payload.readUInt32BE(at), hole });
  }
  return { context: payload.readUInt32BE(0), pieces };
}
