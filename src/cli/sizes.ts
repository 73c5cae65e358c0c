/** Sizes as FreeBSD's humanize_number(3) prints and expand_number(3) reads them. */

const PREFIXES = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
/** humanize_number in a buffer of 5: three digits and the prefix. */
const COLUMNS_LIMIT = 1000;
/** A remainder from here on rounds up to the next whole: 0.95 of 1024. */
const ROUNDS_UP = 973;

/** Bytes in at most four characters and `B`: `64MB`, `2.0MB`, `0B`. */
export function humanize(bytes: number): string {
  let quotient = bytes;
  let remainder = 0;
  let scale = 0;
  const tooWide = (): boolean =>
    quotient >= COLUMNS_LIMIT || (quotient === COLUMNS_LIMIT - 1 && remainder >= ROUNDS_UP);
  for (; tooWide() && scale < PREFIXES.length - 1; scale++) {
    remainder = quotient % 1024;
    quotient = Math.floor(quotient / 1024);
  }
  const prefix = PREFIXES[scale] ?? '';
  if (scale > 0 && (quotient < 9 || (quotient === 9 && remainder < ROUNDS_UP))) {
    const tenths = Math.floor((remainder * 10 + 512) / 1024);
    return `${quotient + Math.floor(tenths / 10)}.${tenths % 10}${prefix}B`;
  }
  return `${quotient + Math.floor((remainder + 512) / 1024)}${prefix}B`;
}

/** Bytes of `2M`, `1g`, `512`, `512b`, `0x1000`; null when it is no such size or over 2^53. */
export function expandNumber(text: string): number | null {
  const match = /^(0x[0-9a-f]+|0|[1-9]\d*)([kmgtpe]?)b?$/i.exec(text);
  if (match?.[1] === undefined) return null;
  const power = PREFIXES.indexOf((match[2] ?? '').toUpperCase());
  const bytes = Number(match[1]) * 1024 ** power;
  return Number.isSafeInteger(bytes) ? bytes : null;
}
