/** The `resync-rate` of hastate.yaml: one for each resource, or a map by resource. */
import type { YamlSource } from './yaml-source.ts';
import type { HastSettings } from '../model/settings.ts';

/** Slower, a large disk would take months: a mistyped unit. Bytes per second. */
const SLOWEST = 64 * 1024;
const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

type Written = string | number;

/** Bytes per second by resource; 0 is no limit. What is wrong goes to `source.diagnostics`. */
export function resyncRates(
  source: YamlSource,
  written: Written | Readonly<Record<string, Written>> | undefined,
  hast: HastSettings,
): Readonly<Record<string, number>> {
  const names = hast.resources.map(({ name }) => name);
  if (typeof written !== 'object') {
    const one = written === undefined ? 0 : rateAt(source, ['resync-rate'], written);
    return Object.fromEntries(names.map((name) => [name, one]));
  }
  const rates = new Map(names.map((name) => [name, 0]));
  for (const [name, value] of Object.entries(written)) {
    const path = ['resync-rate', name];
    if (!names.includes(name)) {
      source.diagnostics.error(
        source.keyAt(path),
        `'resync-rate' has '${name}', which is no resource of hast.conf`,
        names.length === 0 ? 'remove it' : `it has ${names.join(', ')}`,
      );
    }
    rates.set(name, rateAt(source, path, value));
  }
  return Object.fromEntries(rates);
}

function rateAt(source: YamlSource, path: readonly string[], written: Written): number {
  const bytes = parseRate(String(written));
  if (bytes === 0 || (bytes !== null && bytes >= SLOWEST)) return bytes;
  source.diagnostics.error(
    source.at([...path]),
    `'${path.join('.')}' is ${written}: it must be a rate with a unit`,
    'write e.g. 50MB/s or 20MiB/s, at least 64KiB/s, or 0 for no limit',
  );
  return 0;
}

/** Bytes per second of e.g. `50MB/s`, 0 of `0`; null for anything else. */
export function parseRate(text: string): number | null {
  if (text.trim() === '0') return 0;
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*(B|kB|MB|GB|KiB|MiB|GiB)\/s$/.exec(text.trim());
  const unit = UNITS[match?.[2] ?? ''];
  if (match?.[1] === undefined || unit === undefined) return null;
  return Math.round(Number(match[1]) * unit);
}
