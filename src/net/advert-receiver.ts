/**
 * What every receiver of adverts does: refuses what is our own or came from another network, asks its protocol
 * about the rest, counts refusals by reason and remembers who spoke. Never throws for what a packet holds.
 * @see carp-vrrp 0.2
 */
import type { Announcement } from '../model/election.ts';
import { WireError } from '../model/errors.ts';
import type { AdvertMeta } from './advert-transport.ts';
import { DropCounters } from './drop-counters.ts';
import type { NetLog } from './log.ts';

export interface ReceivedAdvert {
  readonly says: Announcement;
  readonly source: string;
  /** ms, monotonic. */
  readonly at: number;
}

/** A node whose valid adverts were heard. */
export interface PeerSeen extends ReceivedAdvert {
  /** Adverts so far. */
  readonly adverts: number;
}

export interface AdvertReceiver {
  /** The advert, or null when it was refused (and counted). */
  receive(packet: Buffer, meta: AdvertMeta): ReceivedAdvert | null;
  /** Packets by `accepted` and reason of refusal. */
  counters(): Record<string, number>;
  /** Who was heard, the latest last. */
  peers(): PeerSeen[];
}

export interface Refusal {
  readonly reason: string;
  /** For the log; a reason that is nobody's fault has none. */
  readonly detail?: string;
}

export interface ReceiverBasics {
  /** Own addresses as they are now, without the shared ones. */
  readonly ownAddresses: () => ReadonlySet<string>;
  /** Adverts by unicast may have been routed: their TTL says nothing. */
  readonly unicast?: boolean;
  readonly log: NetLog;
}

const TTL = 255;
const MOST_PEERS = 16;

/** @param judge may throw WireError, whose code is the reason */
export function createReceiver(
  where: string,
  basics: ReceiverBasics,
  judge: (packet: Buffer, meta: AdvertMeta, drops: DropCounters) => Announcement | Refusal,
): AdvertReceiver {
  const drops = new DropCounters(where, basics.log);
  const peers = new Map<string, PeerSeen>();
  let accepted = 0;

  const verdict = (packet: Buffer, meta: AdvertMeta): Announcement | Refusal => {
    if (basics.ownAddresses().has(meta.source)) return { reason: 'own-source' };
    if (basics.unicast !== true && meta.ttl !== null && meta.ttl !== TTL) {
      return { reason: 'ttl', detail: `TTL ${meta.ttl} from ${meta.source}: it came from another network` };
    }
    try {
      return judge(packet, meta, drops);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return { reason: error.code, detail: `${error.message} (from ${meta.source})` };
    }
  };
  const remember = (advert: ReceivedAdvert): void => {
    const adverts = (peers.get(advert.source)?.adverts ?? 0) + 1;
    peers.delete(advert.source);
    peers.set(advert.source, { ...advert, adverts });
    const [oldest] = peers.keys();
    if (peers.size > MOST_PEERS && oldest !== undefined) peers.delete(oldest);
  };
  return {
    receive: (packet, meta) => {
      const says = verdict(packet, meta);
      if ('reason' in says) {
        drops.drop(says.reason, says.detail, meta.at);
        return null;
      }
      accepted += 1;
      drops.recovered(meta.at);
      const advert = { says, source: meta.source, at: meta.at };
      remember(advert);
      return advert;
    },
    counters: () => ({ ...drops.counts(), accepted }),
    peers: () => [...peers.values()],
  };
}
