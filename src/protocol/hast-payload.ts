/**
 * What is done to a message's data: compression first, then a checksum over the compressed bytes.
 * The receiver obeys the message's fields, never its own configuration.
 * @see hast.md section 4
 */
import { WireError } from '../model/errors.ts';
import type { ChecksumKind, CompressionKind } from '../model/roles.ts';
import { checksum, checksumMatches } from './checksum.ts';
import { lzfCompress, lzfDecompress } from './lzf.ts';
import type { NvField, NvMap } from './nv.ts';

const ORIGINAL_LENGTH_BYTES = 4;
/** hastd leaves alone what is not longer than this, and wants to save as much. */
const LZF_THRESHOLD = 1024;
const ZEROS = Buffer.alloc(128 * 1024);

/** `data` may be the buffer that was given. `fields` go behind the message's own. */
export function packPayload(
  data: Buffer,
  sum: ChecksumKind,
  compression: CompressionKind,
): { fields: NvField[]; data: Buffer } {
  if (sum === 'none' && compression === 'none') return { fields: [], data };
  const fields: NvField[] = [];
  let packed = data;
  if (compression !== 'none' && data.length % 8 === 0 && isZero(data)) {
    packed = withOriginalLength(data.length, Buffer.alloc(0));
    fields.push({ name: 'compression', type: 'string', value: 'hole' });
  } else if (compression === 'lzf' && data.length > LZF_THRESHOLD) {
    const stream = lzfCompress(data, data.length - LZF_THRESHOLD);
    if (stream !== null) {
      packed = withOriginalLength(data.length, stream);
      fields.push({ name: 'compression', type: 'string', value: 'lzf' });
    }
  }
  if (sum !== 'none') {
    fields.push({ name: 'checksum', type: 'string', value: sum });
    fields.push({ name: 'hash', type: 'bytes', value: checksum(sum, packed) });
  }
  return { fields, data: packed };
}

/**
 * @param expectedLength bytes that the data must have, or null for any
 * @param maxLength bytes that are allocated at most
 * @returns the plain data; the given buffer itself when it was not compressed
 * @throws WireError `payload-checksum`, `payload-compression`, `payload-length`, `lzf-corrupt`
 */
export function unpackPayload(
  nv: NvMap,
  data: Buffer,
  expectedLength: number | null,
  maxLength: number,
): Buffer {
  verifyChecksum(nv, data);
  const kind = nv.string('compression');
  if (kind === undefined) {
    checkLength(data.length, expectedLength, maxLength);
    return data;
  }
  if (kind !== 'hole' && kind !== 'lzf') {
    throw new WireError('payload-compression', 0, 'compression', `data is compressed by unknown "${kind}"`);
  }
  const shortest = kind === 'hole' ? ORIGINAL_LENGTH_BYTES : ORIGINAL_LENGTH_BYTES + 1;
  if (data.length < shortest || (kind === 'hole' && data.length !== shortest)) {
    throw new WireError('payload-compression', 0, 'data', `${kind} data has ${data.length} bytes`);
  }
  const length = data.readUInt32LE(0);
  checkLength(length, expectedLength, maxLength);
  return kind === 'hole' ? Buffer.alloc(length) : lzfDecompress(data.subarray(ORIGINAL_LENGTH_BYTES), length);
}

function verifyChecksum(nv: NvMap, data: Buffer): void {
  const kind = nv.string('checksum');
  const hash = nv.bytes('hash');
  if (kind === undefined && hash === undefined) return;
  if ((kind !== 'crc32' && kind !== 'sha256') || hash === undefined) {
    throw new WireError(
      'payload-checksum',
      0,
      'checksum',
      `data has an unknown or half a checksum (${String(kind)})`,
    );
  }
  if (!checksumMatches(kind, data, hash)) {
    throw new WireError(
      'payload-checksum',
      0,
      'hash',
      `${kind} of ${data.length} bytes of data does not match`,
    );
  }
}

function checkLength(length: number, expected: number | null, max: number): void {
  if (length === 0 || length > max || (expected !== null && length !== expected)) {
    throw new WireError(
      'payload-length',
      0,
      'data',
      `data has ${length} bytes, ${expected === null ? `at most ${max}` : String(expected)} were expected`,
    );
  }
}

function withOriginalLength(length: number, rest: Buffer): Buffer {
  const packed = Buffer.allocUnsafe(ORIGINAL_LENGTH_BYTES + rest.length);
  packed.writeUInt32LE(length, 0);
  packed.set(rest, ORIGINAL_LENGTH_BYTES);
  return packed;
}

function isZero(data: Buffer): boolean {
  if (data.length === 0 || data[0] !== 0) return false;
  for (let at = 0; at < data.length; at += ZEROS.length) {
    const end = Math.min(data.length, at + ZEROS.length);
    if (data.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}
