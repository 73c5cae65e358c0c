/** How a group's address is elected on this node: the numbers that go into adverts, and what may not be in them. */
import { advertEveryMs } from '../model/carp-timing.ts';
import type { AddressSettings } from '../model/settings.ts';
import type { AddressFile } from './hastate-schema.ts';
import { ofNode } from './hastate-nodes.ts';
import type { NodeNames } from './hastate-nodes.ts';
import { dotted } from './yaml-source.ts';
import type { Path, YamlSource } from './yaml-source.ts';

export type ElectionNumbers = Pick<
  AddressSettings,
  'advbase' | 'advskew' | 'priority' | 'intervalMs' | 'downAdverts'
>;

/** How much later the node speaks that is not preferred, in 1/256 s. */
const SKEW_OF_THE_OTHER = 100;
const PRIORITY = { preferred: 150, other: 100 } as const;
const DOWN_ADVERTS = 3;
const OWNER = 255;
const ONE_SECOND = 1000;

/** Keys that mean something in one of the two protocols only. */
const ONLY = {
  carp: ['advbase', 'advskew', 'tie-break', 'counter'],
  vrrp: ['vrid', 'priority', 'down-adverts', 'checksum'],
} as const;

export function electionNumbers(
  source: YamlSource,
  path: Path,
  written: AddressFile,
  prefer: string | undefined,
  names: NodeNames,
): ElectionNumbers {
  const preferred = names.self === (prefer ?? [...names.all].sort()[0]);
  const vrrp = written.protocol === 'vrrp2' || written.protocol === 'vrrp3';
  if (vrrp) refuseKeys(source, path, written, ONLY.carp);
  else if (written.protocol === 'carp' || written.protocol === 'kernel-carp') {
    refuseKeys(source, path, written, ONLY.vrrp);
  }
  const numbers = vrrp
    ? vrrpNumbers(source, path, written, preferred, names)
    : carpNumbers(source, path, written, preferred, names);
  checkFloor(source, path, written, numbers.intervalMs);
  checkLinkDelay(source, path, written, numbers);
  return numbers;
}

function refuseKeys(
  source: YamlSource,
  path: Path,
  written: AddressFile,
  keys: readonly (keyof AddressFile)[],
): void {
  const instead: Readonly<Record<string, string>> = {
    vrid: "write 'vhid'",
    priority: "write 'advskew', where less is better",
    advskew: "write 'priority', where more is better",
    advbase: "write 'interval'",
  };
  for (const key of keys) {
    if (written[key] === undefined) continue;
    const message = `'${dotted([...path, key])}' has no meaning with protocol ${written.protocol}`;
    source.diagnostics.error(source.keyAt([...path, key]), message, instead[key] ?? 'remove it');
  }
}

function vrrpNumbers(
  source: YamlSource,
  path: Path,
  written: AddressFile,
  preferred: boolean,
  names: NodeNames,
): ElectionNumbers {
  const { diagnostics } = source;
  const fallback = preferred ? PRIORITY.preferred : PRIORITY.other;
  const own = ofNode<number>(source, [...path, 'priority'], written.priority, names) ?? fallback;
  refuseEqual(source, [...path, 'priority'], written.priority, own, names, {
    [names.self]: PRIORITY.preferred,
    [names.other ?? '']: PRIORITY.other,
  });
  if (own === OWNER && written.track.some(({ weight }) => weight !== 0)) {
    const message = 'priority 255 owns the addresses: no weight of a tracked item lowers it';
    diagnostics.warning(source.at([...path, 'priority']), message, 'use at most 254');
  }
  const intervalMs = written.interval ?? ONE_SECOND;
  const at = source.at([...path, 'interval']);
  if (written.protocol === 'vrrp2' && (intervalMs % ONE_SECOND !== 0 || intervalMs > 255 * ONE_SECOND)) {
    const message = `VRRP 2 speaks every 1 to 255 whole seconds, not every ${intervalMs} ms`;
    diagnostics.error(at, message, 'use whole seconds, or protocol vrrp3');
  } else if (written.protocol === 'vrrp3' && (intervalMs % 10 !== 0 || intervalMs > 40_950)) {
    const message = `VRRP 3 speaks in hundredths of a second up to 40.95 s, not every ${intervalMs} ms`;
    diagnostics.error(at, message, 'use a multiple of 10 ms');
  }
  for (const [index, cidr] of written.addresses.entries()) {
    if (written.protocol !== 'vrrp2' || !cidr.includes(':')) continue;
    const message = `VRRP 2 has no IPv6: ${cidr}`;
    diagnostics.error(source.at([...path, 'addresses', index]), message, 'use protocol vrrp3');
  }
  const downAdverts = written['down-adverts'] ?? DOWN_ADVERTS;
  return { advbase: 1, advskew: 0, priority: own, intervalMs, downAdverts };
}

function carpNumbers(
  source: YamlSource,
  path: Path,
  written: AddressFile,
  preferred: boolean,
  names: NodeNames,
): ElectionNumbers {
  const { diagnostics } = source;
  const advbase = carpBase(source, path, written);
  const first = advbase === 0 ? Math.ceil(((written.interval ?? written['interval-floor']) * 256) / 1000) : 0;
  const other = advbase === 0 ? first + Math.max(1, Math.ceil(first / 4)) : SKEW_OF_THE_OTHER;
  const skewPath = [...path, 'advskew'];
  const own = ofNode<number>(source, skewPath, written.advskew, names) ?? (preferred ? first : other);
  refuseEqual(source, skewPath, written.advskew, own, names, {
    [names.self]: first,
    [names.other ?? '']: other,
  });
  if (advbase === 0 && own === 0) {
    const message = 'advbase 0 with advskew 0 leaves no pause between adverts';
    diagnostics.error(source.at(skewPath), message, `use advskew ${first}`);
  }
  const numbers = { advbase, advskew: own, downAdverts: DOWN_ADVERTS, priority: PRIORITY.other };
  return { ...numbers, intervalMs: advertEveryMs(advbase, own) };
}

/** Seconds of `advbase`, or of `interval` when that is written; 0 for less than a second. */
function carpBase(source: YamlSource, path: Path, written: AddressFile): number {
  const { interval, advbase } = written;
  if (interval === undefined) return advbase ?? 1;
  const at = source.keyAt([...path, 'interval']);
  if (advbase !== undefined) {
    source.diagnostics.error(at, "'interval' and 'advbase' say the same", 'remove one');
  }
  if (interval < ONE_SECOND) {
    if (interval <= 800) return 0;
    source.diagnostics.error(
      at,
      `CARP cannot speak every ${interval} ms`,
      'use at most 800ms, or whole seconds',
    );
  } else if (interval % ONE_SECOND !== 0 || interval > 255 * ONE_SECOND) {
    const message = `CARP speaks every 1 to 255 whole seconds or faster than one, not every ${interval} ms`;
    source.diagnostics.error(at, message, 'use whole seconds, or at most 800ms');
  }
  return Math.floor(interval / ONE_SECOND);
}

/** Two nodes that are equally good would speak at once, or swap places, for ever. */
function refuseEqual(
  source: YamlSource,
  path: Path,
  written: number | Readonly<Record<string, number>> | undefined,
  own: number,
  names: NodeNames,
  example: Readonly<Record<string, number>>,
): void {
  if (names.other === null || written === undefined) return;
  const other = typeof written === 'number' ? written : written[names.other];
  if (other !== own) return;
  const key = String(path.at(-1));
  const message = `${key} is ${own} on both nodes: neither would win`;
  const map = Object.entries(example).map(([name, value]) => `${name}: ${value}`);
  source.diagnostics.error(source.at(path), message, `write a map, e.g. ${key}: { ${map.join(', ')} }`);
}

/** Faster adverts than this outrun a busy event loop. */
function checkFloor(source: YamlSource, path: Path, written: AddressFile, intervalMs: number): void {
  const floor = written['interval-floor'];
  if (written.protocol === 'external' || written.protocol === 'keepalived' || intervalMs === 0) return;
  if (intervalMs >= floor || (written.protocol === 'carp' && written.advbase === 0 && intervalMs < 4)) return;
  const key = [...path, written.interval === undefined ? 'advskew' : 'interval'];
  const message = `adverts every ${round(intervalMs)} ms are below the floor of ${floor} ms: a busy moment would look like a failure`;
  const hint = "speak more slowly, or add 'interval-floor: 10ms' because another node demands it";
  source.diagnostics.error(source.at(key), message, hint);
}

/** A link that is down must count before the other node could have taken over for it. */
function checkLinkDelay(
  source: YamlSource,
  path: Path,
  written: AddressFile,
  numbers: ElectionNumbers,
): void {
  const delay = written['link-delay'].down;
  const most = (numbers.downAdverts - 1) * numbers.intervalMs;
  if (delay === undefined || delay < most) return;
  const message = `link-delay.down is ${delay} ms, and after ${round(most)} ms of silence the other node takes over`;
  source.diagnostics.error(
    source.at([...path, 'link-delay', 'down']),
    message,
    `use less than ${round(most)}ms`,
  );
}

function round(ms: number): number {
  return Math.floor(ms * 10) / 10;
}
