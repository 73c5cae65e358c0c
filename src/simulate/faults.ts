/** What goes wrong in a simulation, drawn from its seed. */
import { ConfigError } from '../model/errors.ts';
import type { SimRandom } from './sim-clock.ts';
import type { SimName } from './sim-node.ts';

export const FAULT_KINDS = ['power', 'process', 'link', 'channel', 'network', 'switchover'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export const FAULT_WORDS: Readonly<Record<FaultKind, string>> = {
  power: 'a node loses power, and with it what its disk had not flushed; it comes back later',
  process: 'a daemon is killed; its machine and its page cache stay',
  link: 'the data link breaks and cannot be made again for a while; the peer channel works',
  channel: 'the peer channel is silent for a while; the data link works',
  network: 'both are silent for a while',
  switchover: 'an operator asks for a planned switchover',
};

export interface Fault {
  /** ms after the start of the load. */
  readonly at: number;
  readonly kind: FaultKind;
  readonly node: SimName;
  /** How long it lasts. ms */
  readonly ms: number;
}

const EVERY_MS = 4000;
/** Shorter than the promotion delay: one that is longer makes two primaries, as the policy `available` admits. */
const SHORT_MS = 350;
const LONG_MS = 3000;

export function drawFaults(random: SimRandom, kinds: readonly FaultKind[], forMs: number): Fault[] {
  const faults: Fault[] = [];
  for (
    let at = EVERY_MS * random.next();
    at < forMs && kinds.length > 0;
    at += EVERY_MS * 2 * random.next()
  ) {
    const kind = kinds[random.below(kinds.length)] ?? 'process';
    const node: SimName = random.chance(0.5) ? 'alpha' : 'beta';
    const isShort = kind === 'network' && random.chance(0.9);
    faults.push({ at: Math.round(at), kind, node, ms: 20 + random.below(isShort ? SHORT_MS : LONG_MS) });
  }
  return faults;
}

/** @param list as typed: names with commas between them. @throws ConfigError `fault-unknown` */
export function parseFaultKinds(list: string): FaultKind[] {
  return list
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
    .map((word) => {
      const kind = FAULT_KINDS.find((each) => each === word);
      if (kind !== undefined) return kind;
      throw new ConfigError(
        'fault-unknown',
        `there is no fault '${word}': choose of ${FAULT_KINDS.join(', ')}`,
      );
    });
}

export function describeFault({ at, kind, node, ms }: Fault): string {
  const where = kind === 'power' || kind === 'process' ? ` ${node}` : '';
  const long = kind === 'switchover' ? '' : ` for ${ms} ms`;
  return `at ${at} ms: ${kind}${where}${long}`;
}
