/**
 * Name/value lists of hastd, on the wire and on disk. One entry:
 *   u8 type | u8 strlen(name)+1 | u32 value length | name, NUL, padding | value, padding
 * Both paddings are to 8 bytes counted from the end of the 6-byte header; all integers little-endian.
 * hastd leaves heap garbage in the name padding; we write zeros.
 * @see hast.md section 3
 */
import { WireError } from '../model/errors.ts';
import { NvMap } from './nv-map.ts';
import type { NvField, NvScalarType } from './nv-map.ts';

export { NvMap } from './nv-map.ts';
export type { NvField } from './nv-map.ts';

const HEADER_BYTES = 6;
const MAX_NAME = 254;
const ORDER_BIT = 0x80;
const TYPE_STRING = 17;
const TYPE_BYTES = 10;

const SCALARS: Readonly<Record<NvScalarType, { code: number; width: number; min: bigint; max: bigint }>> = {
  int8: { code: 1, width: 1, min: -0x80n, max: 0x7fn },
  uint8: { code: 2, width: 1, min: 0n, max: 0xffn },
  int16: { code: 3, width: 2, min: -0x8000n, max: 0x7fffn },
  uint16: { code: 4, width: 2, min: 0n, max: 0xffffn },
  int32: { code: 5, width: 4, min: -0x80000000n, max: 0x7fffffffn },
  uint32: { code: 6, width: 4, min: 0n, max: 0xffffffffn },
  int64: { code: 7, width: 8, min: -(1n << 63n), max: (1n << 63n) - 1n },
  uint64: { code: 8, width: 8, min: 0n, max: (1n << 64n) - 1n },
};

const pad8 = (length: number): number => (length + 7) & ~7;

/** @throws WireError `nv-field` for a name or value that the format cannot carry: a programming error */
export function encodeNv(fields: readonly NvField[]): Buffer {
  const values = fields.map(valueBytes);
  let total = 0;
  fields.forEach((field, i) => {
    const length = Buffer.byteLength(field.name);
    if (length === 0 || length > MAX_NAME || field.name.includes('\0')) throw badField(field, 'its name');
    total += HEADER_BYTES + pad8(length + 1) + pad8(values[i]?.length ?? 0);
  });
  const out = Buffer.alloc(total);
  let at = 0;
  fields.forEach((field, i) => {
    const value = values[i] ?? Buffer.alloc(0);
    const nameBytes = Buffer.byteLength(field.name) + 1;
    out[at] = typeCode(field.type);
    out[at + 1] = nameBytes;
    out.writeUInt32LE(value.length, at + 2);
    out.write(field.name, at + HEADER_BYTES);
    at += HEADER_BYTES + pad8(nameBytes);
    out.set(value, at);
    at += pad8(value.length);
  });
  return out;
}

/**
 * Reads up to the end or the first zero type byte. The result refers to `buffer`, it copies nothing.
 * @throws WireError `nv-truncated`, `nv-name`, `nv-type`, `nv-value`
 */
export function decodeNv(buffer: Buffer): NvMap {
  const index: number[] = [];
  let at = 0;
  while (at < buffer.length) {
    const type = buffer[at] ?? 0;
    if (type === 0) break;
    if (at + HEADER_BYTES > buffer.length) throw truncated(at, 'header');
    if ((type & ORDER_BIT) !== 0 || type > TYPE_STRING) {
      throw new WireError('nv-type', at, 'type', `nv entry at byte ${at} has unknown type ${type}`);
    }
    const nameBytes = buffer[at + 1] ?? 0;
    const valueBytes = buffer.readUInt32LE(at + 2);
    const nameAt = at + HEADER_BYTES;
    const valueAt = nameAt + pad8(nameBytes);
    if (valueBytes > buffer.length || valueAt + pad8(valueBytes) > buffer.length)
      throw truncated(at, 'value');
    if (!terminated(buffer, nameAt, nameBytes)) {
      throw new WireError(
        'nv-name',
        nameAt,
        'name',
        `nv entry at byte ${at} has a name that is not terminated`,
      );
    }
    checkValue(buffer, type, valueAt, valueBytes);
    index.push(type, nameAt, nameBytes - 1, valueAt, valueBytes);
    at = valueAt + pad8(valueBytes);
  }
  return new NvMap(buffer, index);
}

function checkValue(buffer: Buffer, type: number, at: number, length: number): void {
  if (type === TYPE_STRING) {
    if (!terminated(buffer, at, length)) {
      throw new WireError('nv-value', at, 'value', `nv string at byte ${at} is not terminated where it ends`);
    }
    return;
  }
  const width = 1 << (((type - 1) & 7) >> 1);
  if (type > 8 ? length === 0 || length % width !== 0 : length !== width) {
    throw new WireError(
      'nv-value',
      at,
      'value',
      `nv value at byte ${at} has ${length} bytes, not of its type`,
    );
  }
}

/** Is the first NUL the last byte? A loop: for so few bytes a call of indexOf() costs more. */
function terminated(buffer: Buffer, at: number, length: number): boolean {
  if (length === 0) return false;
  const last = at + length - 1;
  let i = at;
  while (i < last && buffer[i] !== 0) i++;
  return i === last && buffer[i] === 0;
}

function typeCode(type: NvField['type']): number {
  if (type === 'string') return TYPE_STRING;
  return type === 'bytes' ? TYPE_BYTES : SCALARS[type].code;
}

function valueBytes(field: NvField): Buffer {
  if (field.type === 'string') {
    if (field.value.includes('\0')) throw badField(field, 'a NUL in its text');
    return Buffer.from(`${field.value}\0`);
  }
  if (field.type === 'bytes') {
    if (field.value.length === 0) throw badField(field, 'its length 0');
    return field.value;
  }
  const { width, min, max } = SCALARS[field.type];
  const number = field.value;
  if (typeof number === 'number' && !Number.isSafeInteger(number))
    throw badField(field, `its value ${number}`);
  const value = BigInt(number);
  if (value < min || value > max) throw badField(field, `its value ${value}`);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  return bytes.subarray(0, width);
}

function truncated(offset: number, field: string): WireError {
  return new WireError('nv-truncated', offset, field, `nv entry at byte ${offset} runs past the end`);
}

function badField(field: NvField, what: string): WireError {
  return new WireError(
    'nv-field',
    0,
    field.name,
    `nv field ${field.name} (${field.type}) cannot be encoded: ${what}`,
  );
}
