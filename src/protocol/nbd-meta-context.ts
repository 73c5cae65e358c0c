/**
 * NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT: which information about ranges there is, and which is wanted.
 * All numbers are big-endian; names are UTF-8.
 * @see NBD protocol, "Metadata querying", "Option types"
 */
import { WireError } from '../model/errors.ts';
import { MAX_NAME_BYTES } from './nbd-negotiation.ts';
import { needBytes } from './nbd.ts';

/** Whether a range is allocated at all. */
export const BASE_ALLOCATION = 'base:allocation';
/** Far more than there are contexts. */
export const MAX_QUERIES = 64;

export interface MetaContextOption {
  readonly exportName: string;
  /** A context, or `namespace:` for all of it. */
  readonly queries: readonly string[];
}

/** Data of both options. */
export function encodeMetaContextOption({ exportName, queries }: MetaContextOption): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length);
  return Buffer.concat([text(exportName), count, ...queries.map(text)]);
}

/**
 * @throws WireError `nbd-query-count` for more than MAX_QUERIES; `nbd-truncated`, `nbd-option-length` when lengths
 *   contradict each other
 */
export function decodeMetaContextOption(data: Buffer): MetaContextOption {
  const name = readText(data, 0, 'meta-context.name');
  needBytes(data, name.end, 4, 'meta-context.query-count');
  const count = data.readUInt32BE(name.end);
  let at = name.end + 4;
  // A query takes four bytes at least: more cannot be there.
  needBytes(data, at, 4 * count, 'meta-context.queries');
  if (count > MAX_QUERIES) {
    throw new WireError(
      'nbd-query-count',
      name.end,
      'meta-context.query-count',
      `${count} NBD contexts were asked for, more than ${MAX_QUERIES}: ask for fewer`,
    );
  }
  const queries: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const query = readText(data, at, 'meta-context.query');
    queries.push(query.text);
    at = query.end;
  }
  if (at !== data.length) throw badLength(at, 'meta-context', data.length);
  return { exportName: name.text, queries };
}

/** Data of NBD_REP_META_CONTEXT. */
export function encodeMetaContext(id: number, name: string): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(id);
  return Buffer.concat([number, Buffer.from(name, 'utf8')]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(`\0\0\0\0${value}`, 'utf8');
  bytes.writeUInt32BE(bytes.length - 4);
  return bytes;
}

function readText(data: Buffer, at: number, field: string): { readonly text: string; readonly end: number } {
  needBytes(data, at, 4, field);
  const length = data.readUInt32BE(at);
  if (length > MAX_NAME_BYTES) throw badLength(at, field, length);
  needBytes(data, at + 4, length, field);
  const end = at + 4 + length;
  return { text: data.toString('utf8', at + 4, end), end };
}

function badLength(at: number, field: string, value: number): WireError {
  return new WireError('nbd-option-length', at, field, `NBD ${field} of ${value} does not fit`);
}
