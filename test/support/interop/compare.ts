/** Compares messages with captured ones: fields with their types and order, data, and the bytes. */
import { unpackPayload } from '../../../src/protocol/hast-message.ts';
import type { NvMap } from '../../../src/protocol/nv.ts';

const MAX_DATA_BYTES = 1 << 20;
const HEADER_BYTES = 5;
const NV_HEADER_BYTES = 6;

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
  const mine = describe(ours.nv, free);
  const captured = describe(theirs.nv, free);
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

function describe(nv: NvMap, free: readonly string[]): Map<string, string> {
  return new Map(
    nv.fields().map(({ name, type, value }) => {
      const text = Buffer.isBuffer(value) ? value.toString('hex') : String(value);
      return [name, `${type} ${free.includes(name) ? `of ${text.length} digits` : text}`];
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
  const nvEnd = bytes.length - (data?.length ?? 0);
  for (let at = HEADER_BYTES; at < nvEnd;) {
    const nameBytes = copy[at + 1] ?? 0;
    const valueAt = at + NV_HEADER_BYTES + roundUp8(nameBytes);
    const valueBytes = copy.readUInt32LE(at + 2);
    const name = copy.toString('latin1', at + NV_HEADER_BYTES, at + NV_HEADER_BYTES + nameBytes - 1);
    copy.fill(0, at + NV_HEADER_BYTES + nameBytes, valueAt);
    if (free.includes(name)) copy.fill(0, valueAt, valueAt + valueBytes);
    at = valueAt + roundUp8(valueBytes);
  }
  return copy;
}

function roundUp8(bytes: number): number {
  return (bytes + 7) & ~7;
}
