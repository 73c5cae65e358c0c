/**
 * Announces addresses at once, a few times more, because frames get lost and switches learn late, and then from
 * time to time as long as they are up.
 */
import { describeError } from '../model/errors.ts';
import { announceAddresses } from './announce.ts';
import type { AnnounceWay } from './announce.ts';
import type { NetLog } from './log.ts';

export interface AnnounceTimes {
  /** Announcements of one series, the first included. */
  readonly times: number;
  /** ms between those of a series. */
  readonly everyMs: number;
  /** ms between announcements after a series; null = none. */
  readonly refreshMs: number | null;
}

export const DEFAULT_ANNOUNCE_TIMES: AnnounceTimes = { times: 5, everyMs: 1000, refreshMs: 60_000 };

export interface Announcer {
  /** Begins a series; one that runs begins anew. */
  announce(): void;
  /** The addresses are going away: nothing is announced any more. */
  stop(): void;
}

/** @param addressesOn what to announce where, e.g. of two families on two virtual interfaces */
export function createAnnouncer(options: {
  readonly addressesOn: ReadonlyMap<string, readonly string[]>;
  readonly times?: AnnounceTimes;
  readonly log: NetLog;
  readonly announce?: (iface: string, addresses: readonly string[]) => Promise<AnnounceWay>;
}): Announcer {
  const { addressesOn, times = DEFAULT_ANNOUNCE_TIMES, log, announce = announceAddresses } = options;
  let timer: NodeJS.Timeout | null = null;
  let complained = false;

  const stop = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };
  const sayOn = async (iface: string, addresses: readonly string[]): Promise<void> => {
    try {
      await announce(iface, addresses);
      complained = false;
    } catch (error) {
      if (!complained) log('warn', `announcing ${addresses.join(', ')} failed: ${describeError(error)}`);
      complained = true;
    }
  };
  const say = (left: number): void => {
    for (const [iface, addresses] of addressesOn) void sayOn(iface, addresses);
    const wait = left > 1 ? times.everyMs : times.refreshMs;
    if (wait === null) return;
    timer = setTimeout(() => say(left - 1), wait);
  };
  return {
    announce: () => {
      stop();
      say(times.times);
    },
    stop,
  };
}

/** Which addresses are announced on which interface. @param carrier see AddressDriver */
export function byCarrier(
  cidrs: readonly string[],
  iface: string,
  carrier: (cidr: string, iface: string) => string,
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const cidr of cidrs) {
    const place = carrier(cidr, iface);
    found.set(place, [...(found.get(place) ?? []), cidr]);
  }
  return found;
}
