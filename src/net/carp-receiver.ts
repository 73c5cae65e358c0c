/**
 * Judges what a transport delivered, in the order that makes the counters useful, and lets only valid adverts
 * of one vhid through. Never throws for what a packet holds.
 * @see carp-vrrp 0.2
 */
import { WireError } from '../model/errors.ts';
import { CARP_BYTES, decodeCarp, verifyCarp } from '../protocol/carp.ts';
import { splitFamilies } from '../protocol/ip-address.ts';
import type { AdvertMeta } from './advert-transport.ts';
import { DropCounters } from './drop-counters.ts';
import type { NetLog } from './log.ts';

export interface ReceivedAdvert {
  readonly advbase: number;
  readonly advskew: number;
  readonly demote: number;
  readonly counter: bigint;
  readonly source: string;
  /** ms, monotonic. */
  readonly at: number;
}

export interface CarpReceiver {
  /** The advert, or null when it was refused (and counted). */
  receive(packet: Buffer, meta: AdvertMeta): ReceivedAdvert | null;
  /** Packets by `accepted` and reason of refusal. */
  counters(): Record<string, number>;
}

const TTL = 255;
export function createCarpReceiver(options: {
  readonly vhid: number;
  readonly key: Buffer;
  /** Every address of the vhid, CIDR or plain. */
  readonly addresses: readonly string[];
  /** Own addresses as they are now, without those of the vhid. */
  readonly ownAddresses: () => ReadonlySet<string>;
  readonly log: NetLog;
}): CarpReceiver {
  const { vhid, key, ownAddresses } = options;
  const { addresses4, addresses6 } = splitFamilies(options.addresses);
  const drops = new DropCounters(`carp vhid ${vhid}`, options.log);
  let accepted = 0;

  const refusal = (packet: Buffer, meta: AdvertMeta): { reason: string; detail?: string } | null => {
    if (ownAddresses().has(meta.source)) return { reason: 'own-source' };
    if (meta.ttl !== null && meta.ttl !== TTL) {
      return { reason: 'ttl', detail: `TTL ${meta.ttl} from ${meta.source}: it came from another network` };
    }
    if (packet.length === CARP_BYTES && packet[0] === 0x21 && packet[1] !== vhid) {
      return { reason: 'other-vhid' };
    }
    try {
      decodeCarp(packet);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return { reason: error.code, detail: `${error.message} (from ${meta.source})` };
    }
    if (!verifyCarp(packet, key, addresses4, addresses6)) {
      return {
        reason: 'hmac',
        detail: `wrong digest from ${meta.source}: password or address list differ between the nodes`,
      };
    }
    return null;
  };
  return {
    receive: (packet, meta) => {
      const refused = refusal(packet, meta);
      if (refused !== null) {
        drops.drop(refused.reason, refused.detail, meta.at);
        return null;
      }
      accepted += 1;
      drops.recovered(meta.at);
      const { advbase, advskew, demote, counter } = decodeCarp(packet);
      return { advbase, advskew, demote, counter, source: meta.source, at: meta.at };
    },
    counters: () => ({ ...drops.counts(), accepted }),
  };
}
