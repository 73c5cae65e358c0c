/** Addresses as numbers in network byte order, for elections that a tie decides. Pure. */

/** Negative: `a` is lower. Addresses of different families, or that are none, are not told apart: 0. */
export function compareAddresses(a: string, b: string): number {
  const [left, right] = [valueOf(a), valueOf(b)];
  if (left === null || right === null || a.includes(':') !== b.includes(':')) return 0;
  return left < right ? -1 : Number(left > right);
}

function valueOf(address: string): bigint | null {
  const words = address.includes(':') ? wordsOf(address.split('%', 1)[0] ?? '') : address.split('.');
  const base = address.includes(':') ? 0x10000n : 0x100n;
  return words.reduce<bigint | null>((value, word) => {
    const digit = Number(address.includes(':') ? `0x${word}` : word);
    return value === null || !Number.isInteger(digit) ? null : value * base + BigInt(digit);
  }, 0n);
}

/** The eight words of an IPv6 address. */
function wordsOf(address: string): string[] {
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  return [...left, ...new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
}
