/**
 * Proof in a handshake of the data link that its sender knows the pair's secret: a keyed hash over the
 * message, the sender's part in it, and what both ends chose at random for this handshake. It stands in a
 * field that a plain hastd ignores. Who is on the wire later is not proven: that is for TLS.
 * @see SAFETY E3, hast.md section 5, RFC 2104, RFC 5869
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { encodeNv } from './nv.ts';
import type { NvField, NvMap } from './nv.ts';

export const NONCE_BYTES = 16;
const KEY_BYTES = 32;
/** `size` is appended when the frame is made. */
const UNSIGNED: readonly string[] = ['proof', 'size'];

export interface Handshake {
  readonly sender: 'primary' | 'secondary';
  readonly resource: string;
  /** What the primary chose. */
  readonly nonce: Buffer;
  /** What the secondary chose, its token; null before there is one. */
  readonly token: Buffer | null;
}

/**
 * The key of this pair of nodes, the same on both.
 * @param secret content of the secret file, byte for byte
 */
export function deriveLinkKey(secret: Buffer, self: string, peer: string): Buffer {
  const info = JSON.stringify(['hastate/1', ...[self, peer].sort()]);
  return Buffer.from(hkdfSync('sha256', secret, 'hastate data link', info, KEY_BYTES));
}

/** The field to append, behind all others. */
export function proofField(
  key: Uint8Array,
  handshake: Handshake,
  fields: readonly NvField[],
  data: Buffer | null = null,
): NvField {
  return { name: 'proof', type: 'bytes', value: digest(key, handshake, fields, data) };
}

/** @throws WireError when `proof` has another type */
export function isProven(key: Uint8Array, handshake: Handshake, nv: NvMap, data: Buffer | null): boolean {
  const proof = nv.bytes('proof');
  if (proof === undefined) return false;
  const fields = nv.fields();
  // A later field of the same name would be signed and never read, or the other way round.
  if (new Set(fields.map(({ name }) => name)).size !== fields.length) return false;
  const signed = fields.filter((field): field is NvField => field.type !== 'opaque');
  if (signed.length !== fields.length) return false;
  const expected = digest(
    key,
    handshake,
    signed.filter(({ name }) => !UNSIGNED.includes(name)),
    data,
  );
  return proof.length === expected.length && timingSafeEqual(proof, expected);
}

function digest(
  key: Uint8Array,
  { sender, resource, nonce, token }: Handshake,
  fields: readonly NvField[],
  data: Buffer | null,
): Buffer {
  const context = encodeNv([
    { name: 'sender', type: 'string', value: sender },
    { name: 'for', type: 'string', value: resource },
    { name: 'nonce', type: 'bytes', value: nonce },
    ...(token === null ? [] : [{ name: 'token', type: 'bytes', value: token } as const]),
    { name: 'data', type: 'uint32', value: data?.length ?? 0 },
  ]);
  return createHmac('sha256', key)
    .update(context)
    .update(encodeNv(fields))
    .update(data ?? Buffer.alloc(0))
    .digest();
}
