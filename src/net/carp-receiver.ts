/** Lets only valid CARP adverts of one vhid through. @see carp-vrrp 0.2, 1.2, 1.3 */
import { CARP_BYTES, decodeCarp, verifyCarp } from '../protocol/carp.ts';
import { splitFamilies } from '../protocol/ip-address.ts';
import { createReceiver } from './advert-receiver.ts';
import type { AdvertReceiver, ReceiverBasics, Refusal } from './advert-receiver.ts';

/**
 * How replays are told. Nobody else's counter grows for ever, so beside foreign peers only `none` and `loop` work:
 * `loop` refuses what we sent ourselves a while ago, `strict` every counter that is not above the sender's last.
 */
export type CounterMode = 'none' | 'loop' | 'strict';

/** What a digest is made of: all nodes need the same. */
export interface CarpSecret {
  readonly key: Buffer;
  /** Every address of the vhid, CIDR or plain. */
  readonly addresses: readonly string[];
}

export interface CarpReceiver extends AdvertReceiver {
  /** We sent this: heard again it is a loop or a replay. */
  sent(packet: Buffer): void;
}

const OWN_REMEMBERED = 64;
const VERSION_AND_TYPE = 0x21;
/** VRRP 2 shares protocol and first byte: 8 bytes, addresses, 8 bytes of authentication. */
const VRRP2_FRAME_BYTES = 16;

export function createCarpReceiver(
  options: ReceiverBasics &
    CarpSecret & {
      readonly vhid: number;
      /** Default loop. */
      readonly counter?: CounterMode;
    },
): CarpReceiver {
  const { vhid, counter = 'loop' } = options;
  const { key } = options;
  const { addresses4, addresses6 } = splitFamilies(options.addresses);
  const own: string[] = [];
  const counters = new Map<string, bigint>();

  const replayed = (packet: Buffer, source: string): Refusal | null => {
    if (counter === 'loop' && own.includes(packet.toString('latin1'))) {
      return { reason: 'looped-back', detail: `our own advert came back from ${source}: a loop or a replay` };
    }
    if (counter !== 'strict') return null;
    const { counter: now } = decodeCarp(packet);
    const last = counters.get(source);
    // Wraps at 2^64: less than half the circle ahead is ahead.
    if (last !== undefined && BigInt.asIntN(64, now - last) <= 0n) {
      const detail = `counter ${now} from ${source} is not above ${last}: a replay, or its clock was set back`;
      return { reason: 'replay', detail };
    }
    counters.set(source, now);
    return null;
  };
  const receiver = createReceiver(`carp vhid ${vhid}`, options, (packet, { source }) => {
    if (isVrrp(packet)) {
      const detail = `${source} speaks VRRP with the same id ${vhid}: give one of the two another`;
      return { reason: 'other-protocol', ...(packet[1] === vhid ? { detail } : {}) };
    }
    if (packet.length === CARP_BYTES && packet[0] === VERSION_AND_TYPE && packet[1] !== vhid) {
      return { reason: 'other-vhid' };
    }
    const { advbase, advskew, demote } = decodeCarp(packet);
    if (!verifyCarp(packet, key, addresses4, addresses6)) {
      const detail = `wrong digest from ${source}: password or address list differ between the nodes`;
      return { reason: 'hmac', detail };
    }
    return replayed(packet, source) ?? { protocol: 'carp', advbase, advskew, demote };
  });
  return {
    ...receiver,
    sent: (packet) => {
      own.push(packet.toString('latin1'));
      if (own.length > OWN_REMEMBERED) own.shift();
    },
  };
}

function isVrrp(packet: Buffer): boolean {
  if (packet.length === CARP_BYTES) return false;
  const count = packet[3] ?? 0;
  const version3 = packet[0] === 0x31 && (packet.length - 8) % 4 === 0;
  return version3 || (packet[0] === VERSION_AND_TYPE && packet.length === VRRP2_FRAME_BYTES + 4 * count);
}
