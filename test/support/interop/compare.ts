/** Compares messages with captured ones: fields with their types and order, data, and the bytes. */
import { unpackPayload } from '../../../src/protocol/hast-message.ts';
import { decodeNv, type NvMap } from '../../../src/protocol/nv.ts';

const MAX_DATA_BYTES = 1 << 20;
const HEADER_BYTES = 5;
const NV_HEADER_BYTES = 6;
const NOTHING = Buffer.alloc(0);

export interface Compared {
  readonly version: number;
  readonly nv: NvMap;
  readonly data: Buffer | null;
  /** The whole frame. */
  readonly bytes: Buffer;
}

export interface MessageDifference {
  /** Empty: every field has the same name, type and value, and the data is the same. */
  readonly fields: readonly string[];
  /** Every byte is the same, beside hastd's garbage in name padding and what may differ by nature. */
  readonly sameBytes: boolean;
}

/** @param free names of fields whose values differ by nature; type and length must be the same */
export function compareMessages(
  ours: Compared,
  theirs: Compared,
  free: readonly string[] = [],
): MessageDifference {
  const fields: string[] = [];
  if (ours.version !== theirs.version)
    fields.push(`header version ${ours.version} instead of ${theirs.version}`);
  // Two encoders find different matches: what counts is what comes out.
  const encoded = isLzf(ours) && isLzf(theirs) && ours.data?.equals(theirs.data ?? NOTHING) === false;
  if (encoded) fields.push(`lzf: ${ours.data.length} bytes instead of ${theirs.data?.length ?? 0}`);
  const ignored = encoded ? [...free, 'size', 'hash'] : free;
  const mine = describe(ours.nv, ignored);
  const captured = describe(theirs.nv, ignored);
  for (const [name, value] of captured) {
    const found = mine.get(name);
    if (found === undefined) fields.push(`no ${name}`);
    else if (found !== value) fields.push(`${name} = ${found} instead of ${value}`);
  }
  for (const [name, value] of mine) if (!captured.has(name)) fields.push(`${name} = ${value} in addition`);
  if (fields.length === 0 && [...mine.keys()].join() !== [...captured.keys()].join())
    fields.push('fields in another order');
  if (!sameData(ours, theirs)) fields.push('other data');
  return { fields, sameBytes: bytesOf(ours, free).equals(bytesOf(theirs, free)) };
}

function isLzf({ nv }: Compared): boolean {
  return nv.string('compression') === 'lzf';
}

function describe(nv: NvMap, free: readonly string[]): Map<string, string> {
  return new Map(
    nv.fields().map(({ name, type, value }) => {
      const text = Buffer.isBuffer(value) ? value.toString('hex') : String(value);
      if (!free.includes(name)) return [name, `${type} ${text}`];
      return [name, Buffer.isBuffer(value) ? `${value.length} bytes` : type];
    }),
  );
}

function sameData(ours: Compared, theirs: Compared): boolean {
  if (ours.data === null || theirs.data === null) return ours.data === theirs.data;
  const plain = ({ nv, data }: Compared): Buffer =>
    unpackPayload(nv, data ?? Buffer.alloc(0), null, MAX_DATA_BYTES);
  return plain(ours).equals(plain(theirs));
}

/** Zeros what says nothing: hastd's garbage behind each name, and values that differ by nature. */
function bytesOf({ bytes, data }: Compared, free: readonly string[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const { name, nameEnd, valueAt, valueBytes } of placesOf(bytes, data)) {
    copy.fill(0, nameEnd, valueAt);
    if (free.includes(name)) copy.fill(0, valueAt, valueAt + valueBytes);
  }
  return copy;
}

/** The same message with another value in a uint64 field. */
export function withU64(message: Compared, field: string, value: bigint): Compared {
  const { bytes, data } = message;
  const copy = Buffer.from(bytes);
  const place = placesOf(bytes, data).find(({ name }) => name === field);
  if (place === undefined) throw new Error(`the message has no field ${field}`);
  copy.writeBigUInt64LE(value, place.valueAt);
  const nvEnd = bytes.length - (data?.length ?? 0);
  return { ...message, bytes: copy, nv: decodeNv(copy.subarray(HEADER_BYTES, nvEnd)) };
}

interface Place {
  readonly name: string;
  readonly nameEnd: number;
  readonly valueAt: number;
  readonly valueBytes: number;
}

function placesOf(bytes: Buffer, data: Buffer | null): Place[] {
  const places: Place[] = [];
  const nvEnd = bytes.length - (data?.length ?? 0);
  for (let at = HEADER_BYTES; at < nvEnd;) {
    const nameAt = at + NV_HEADER_BYTES;
    const nameEnd = nameAt + (bytes[at + 1] ?? 0);
    const valueAt = nameAt + roundUp8(nameEnd - nameAt);
    const valueBytes = bytes.readUInt32LE(at + 2);
    places.push({ name: bytes.toString('latin1', nameAt, nameEnd - 1), nameEnd, valueAt, valueBytes });
    at = valueAt + roundUp8(valueBytes);
  }
  return places;
}

function roundUp8(bytes: number): number {
  return (bytes + 7) & ~7;
}
