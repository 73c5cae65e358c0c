/**
 * What every binding of this node shares: settings, clock, journal, the peer's words.
 * Made once by serve.ts, handed down; owns nothing that has to be closed itself.
 */
import type { ActorOptions, AnyActorLogic } from 'xstate';

import type { NodeCertificates } from '../model/certificates.ts';
import type { HastSettings, HastateSettings } from '../model/settings.ts';
import type { ChartSnapshot } from '../protocol/control.ts';
import type { ClockPort } from '../replication/ports.ts';
import type { HoldStore } from './holds.ts';
import type { Journal } from './journal.ts';
import type { Log } from './log.ts';
import type { PeerState } from './peer-state.ts';

export interface Runtime {
  readonly node: string;
  readonly boot: string;
  /** Replaced as a whole by a reload, as is `settings`: not to be kept. */
  hast: HastSettings;
  settings: HastateSettings;
  /** Content of the secret file, also replaced. */
  secret: Buffer | null;
  /** What is in the files of `tls`, also replaced. */
  certificates: NodeCertificates | null;
  readonly stateDir: string;
  readonly clock: ClockPort;
  /** Virtual time for the charts of a simulation. */
  readonly chartClock?: ChartClock;
  readonly startedAt: number;
  /** When this process last stood still and woke. ms */
  readonly wake: { since: number };
  readonly log: Log;
  readonly journal: Journal;
  readonly peer: PeerState;
  readonly holds: HoldStore;
  readonly charts: ChartRegistry;
  /** What cannot be had on this machine and what that costs; for `status`. */
  readonly warnings: Set<string>;
  /** Fetches 16 hex digits, never all zero. */
  randomId(): string;
}

export type ChartClock = NonNullable<ActorOptions<AnyActorLogic>['clock']>;

interface Chart {
  readonly machine: string;
  value: unknown;
  since: number;
  lastEvent: string | null;
}

/** The running charts, as the page shows them. */
export class ChartRegistry {
  readonly #charts = new Map<string, Chart>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns whether the state changed */
  note(id: string, machine: string, value: unknown, event: string): boolean {
    const known = this.#charts.get(id);
    if (known !== undefined && JSON.stringify(known.value) === JSON.stringify(value)) return false;
    this.#charts.set(id, { machine, value, since: this.#now(), lastEvent: event });
    return true;
  }

  forget(id: string): void {
    this.#charts.delete(id);
  }

  list(): ChartSnapshot[] {
    return [...this.#charts].map(([id, chart]) => ({
      id,
      machine: chart.machine,
      value: chart.value,
      sinceMs: Math.round(this.#now() - chart.since),
      lastEvent: chart.lastEvent,
    }));
  }
}

/** XState's state value as a dotted path; parallel regions joined by `+`. */
export function dotted(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, child]) => {
      const rest = dotted(child);
      return rest === '' ? key : `${key}.${rest}`;
    })
    .join('+');
}
