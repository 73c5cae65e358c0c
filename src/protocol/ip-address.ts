/** Addresses as bytes in network order, as they enter digests, checksums and frames. */
import { WireError } from '../model/errors.ts';

/** @throws WireError `ip-address` */
export function packIPv4(text: string): Buffer {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) {
    throw malformed(text, 'IPv4');
  }
  return Buffer.from(parts.map(Number));
}

/** A zone (`%em0`) is left out: it has no meaning on the wire. @throws WireError `ip-address` */
export function packIPv6(text: string): Buffer {
  const address = text.split('%', 1)[0] ?? '';
  const halves = address.split('::');
  if (halves.length > 2) throw malformed(text, 'IPv6');
  const [head = '', tail] = halves;
  const left = groups(head, text);
  const right = tail === undefined ? [] : groups(tail, text);
  const missing = 16 - left.length - right.length;
  if (tail === undefined ? missing !== 0 : missing < 2) throw malformed(text, 'IPv6');
  return Buffer.from([...left, ...new Array<number>(missing).fill(0), ...right]);
}

/** 4 or 16 bytes as text, IPv6 as RFC 5952 writes it. @throws WireError `ip-address` */
export function unpackAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw malformed(bytes.toString('hex'), 'IP');
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  const zeros = longestZeros(words);
  if (zeros === null) return words.join(':');
  return `${words.slice(0, zeros.from).join(':')}::${words.slice(zeros.from + zeros.length).join(':')}`;
}

/** IPv6 addresses may be written in many ways; systems list the short one. @throws WireError `ip-address` */
export function canonicalAddress(text: string): string {
  return unpackAddress(text.includes(':') ? packIPv6(text) : packIPv4(text));
}

/** The first of the longest runs of at least two zero words. */
function longestZeros(words: readonly string[]): { from: number; length: number } | null {
  let best: { from: number; length: number } | null = null;
  for (let from = 0; from < words.length; from += 1) {
    const length = words.slice(from).findIndex((word) => word !== '0');
    const run = length < 0 ? words.length - from : length;
    if (run >= 2 && run > (best?.length ?? 0)) best = { from, length: run };
  }
  return best;
}

/** The part of `10.0.0.1/24` before the slash. */
export function addressOf(cidr: string): string {
  return cidr.split('/', 1)[0] ?? cidr;
}

/** IPv4 and IPv6 addresses of a list of CIDRs or addresses, without prefix lengths. */
export function splitFamilies(cidrs: readonly string[]): { addresses4: string[]; addresses6: string[] } {
  const addresses = cidrs.map(addressOf);
  return {
    addresses4: addresses.filter((address) => !address.includes(':')),
    addresses6: addresses.filter((address) => address.includes(':')),
  };
}

function groups(half: string, text: string): number[] {
  if (half === '') return [];
  const words = half.split(':');
  return words.flatMap((word, index) => {
    if (word.includes('.') && index === words.length - 1) return [...packIPv4(word)];
    if (!/^[0-9a-f]{1,4}$/i.test(word)) throw malformed(text, 'IPv6');
    const value = Number.parseInt(word, 16);
    return [value >> 8, value & 0xff];
  });
}

function malformed(text: string, family: string): WireError {
  return new WireError('ip-address', 0, 'address', `'${text}' is not an ${family} address`);
}
