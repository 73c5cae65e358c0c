/**
 * LZF streams, as hastd compresses payloads with.
 * A control byte c < 32 is followed by c+1 literal bytes. Otherwise c>>5 is a match length - 2
 * (7: one more byte is added to it) and (c & 31) << 8 | next byte is how far back - 1.
 */
import { WireError } from '../model/errors.ts';

const MAX_LITERALS = 32;
const MAX_DISTANCE = 8192;
const MIN_MATCH = 3;
const MAX_MATCH = 2 + 7 + 255;
const HASH_BITS = 14;
/** Last position + 1 of each hash of three bytes; reused, because one call runs at a time. */
const lastSeen = new Int32Array(1 << HASH_BITS);

/** @returns the stream, or null when it would be longer than `maxLength` bytes */
export function lzfCompress(input: Buffer, maxLength: number): Buffer | null {
  const out = Buffer.allocUnsafe(Math.max(0, maxLength));
  lastSeen.fill(0);
  let outAt = 0;
  let literalsFrom = 0;

  const putLiterals = (end: number): boolean => {
    while (literalsFrom < end) {
      const run = Math.min(MAX_LITERALS, end - literalsFrom);
      if (outAt + 1 + run > maxLength) return false;
      out[outAt++] = run - 1;
      outAt += input.copy(out, outAt, literalsFrom, literalsFrom + run);
      literalsFrom += run;
    }
    return true;
  };

  let at = 0;
  while (at + MIN_MATCH <= input.length) {
    const slot = hashAt(input, at);
    const seen = (lastSeen[slot] ?? 0) - 1;
    lastSeen[slot] = at + 1;
    const distance = at - seen;
    if (seen < 0 || distance > MAX_DISTANCE || !sameThree(input, seen, at)) {
      at++;
      continue;
    }
    const length = matchLength(input, seen, at);
    if (!putLiterals(at) || outAt + 3 > maxLength) return null;
    const back = distance - 1;
    const code = length - 2;
    if (code < 7) {
      out[outAt++] = (code << 5) | (back >> 8);
    } else {
      out[outAt++] = (7 << 5) | (back >> 8);
      out[outAt++] = code - 7;
    }
    out[outAt++] = back & 0xff;
    const end = at + length;
    for (at++; at < end; at++) {
      if (at + MIN_MATCH <= input.length) lastSeen[hashAt(input, at)] = at + 1;
    }
    literalsFrom = end;
  }
  return putLiterals(input.length) ? out.subarray(0, outAt) : null;
}

/**
 * @param length bytes that the stream must expand to, exactly
 * @throws WireError `lzf-corrupt`
 */
export function lzfDecompress(input: Buffer, length: number): Buffer {
  const out = Buffer.allocUnsafe(length);
  let at = 0;
  let outAt = 0;
  while (at < input.length) {
    const control = input[at++] ?? 0;
    if (control < MAX_LITERALS) {
      const run = control + 1;
      if (at + run > input.length) throw corrupt(at, 'literals run past the end of the input');
      if (outAt + run > length) throw corrupt(at, `it expands to more than ${length} bytes`);
      input.copy(out, outAt, at, at + run);
      at += run;
      outAt += run;
      continue;
    }
    let run = (control >> 5) + 2;
    if (run === 9) run += byteAt(input, at++);
    const from = outAt - (((control & 0x1f) << 8) | byteAt(input, at++)) - 1;
    if (from < 0) throw corrupt(at, 'a match lies before the start');
    if (outAt + run > length) throw corrupt(at, `it expands to more than ${length} bytes`);
    if (from + run <= outAt) {
      out.copyWithin(outAt, from, from + run);
      outAt += run;
    } else {
      for (let i = 0; i < run; i++) out[outAt++] = out[from + i] ?? 0;
    }
  }
  if (outAt !== length) throw corrupt(at, `it expands to ${outAt} bytes instead of ${length}`);
  return out;
}

function byteAt(input: Buffer, at: number): number {
  const byte = input[at];
  if (byte === undefined) throw corrupt(at, 'a match is cut off');
  return byte;
}

function hashAt(input: Buffer, at: number): number {
  const three = ((input[at] ?? 0) << 16) | ((input[at + 1] ?? 0) << 8) | (input[at + 2] ?? 0);
  return Math.imul(three, 0x9e3779b1) >>> (32 - HASH_BITS);
}

function sameThree(input: Buffer, a: number, b: number): boolean {
  return input[a] === input[b] && input[a + 1] === input[b + 1] && input[a + 2] === input[b + 2];
}

function matchLength(input: Buffer, from: number, at: number): number {
  const limit = Math.min(MAX_MATCH, input.length - at);
  let length = MIN_MATCH;
  while (length < limit && input[from + length] === input[at + length]) length++;
  return length;
}

function corrupt(offset: number, what: string): WireError {
  return new WireError('lzf-corrupt', offset, 'data', `LZF data is corrupt at byte ${offset}: ${what}`);
}
