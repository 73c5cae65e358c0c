/** One address's adverts in one address family: what we say as bytes, and who may be heard. */
import type { Announcement, ElectionSettings } from '../../model/election.ts';
import { NetError } from '../../model/errors.ts';
import type { AddressSettings } from '../../model/settings.ts';
import type { AdvertReceiver, PeerSeen, ReceivedAdvert } from '../../net/advert-receiver.ts';
import type { AdvertTransport } from '../../net/advert-transport.ts';
import { createCarpReceiver } from '../../net/carp-receiver.ts';
import type { NetLog } from '../../net/log.ts';
import { createVrrpReceiver } from '../../net/vrrp-receiver.ts';
import { encodeCarp } from '../../protocol/carp.ts';
import { splitFamilies } from '../../protocol/ip-address.ts';
import { encodeVrrp } from '../../protocol/vrrp.ts';

export interface AdvertSpeaker {
  readonly transport: AdvertTransport;
  /** Sends at once. Returns the error's text, or null. */
  readonly say: (says: Announcement) => string | null;
  /** The packet that it heard last was this one, and valid. */
  took(packet: Buffer): boolean;
  /** Another set of addresses takes its place: what it refuses from now on is no news. */
  retire(): void;
  counters(): Record<string, number>;
  peers(): PeerSeen[];
}

export interface SpeakerOptions {
  readonly settings: Pick<AddressSettings, 'vhid' | 'addresses' | 'counter' | 'unicast' | 'checksum'>;
  readonly election: ElectionSettings;
  /** Content of the password file, without its line end; empty = none. */
  readonly key: Buffer;
  readonly transport: AdvertTransport;
  /** Fetches the next counter of CARP; all families of an address share one. */
  readonly nextCounter: () => bigint;
  /** Own addresses as they are now, without the shared ones. */
  readonly ownAddresses: () => ReadonlySet<string>;
  readonly log: NetLog;
  /** Somebody else heard this packet before us, and it was valid there. */
  readonly taken?: (packet: Buffer) => boolean;
  /** A valid advert. */
  heard(advert: ReceivedAdvert): void;
}

export function createSpeaker(given: SpeakerOptions): AdvertSpeaker {
  let retired = false;
  let last: Buffer | null = null;
  const log: NetLog = (level, message) => {
    if (!retired) given.log(level, message);
  };
  const options = { ...given, log };
  const { transport, election, taken = () => false } = options;
  const { receiver, say } = election.protocol === 'carp' ? carp(options) : vrrp(options, election);
  transport.onAdvert((packet, meta) => {
    if (taken(packet)) return;
    const advert = receiver.receive(packet, meta);
    if (advert === null) return;
    last = packet;
    transport.vouch(advert.source);
    options.heard(advert);
  });
  return {
    transport,
    say,
    took: (packet) => last === packet,
    retire: () => {
      retired = true;
    },
    counters: () => ({ ...transport.counters(), ...receiver.counters() }),
    peers: () => receiver.peers(),
  };
}

interface Dialect {
  readonly receiver: AdvertReceiver;
  readonly say: (says: Announcement) => string | null;
}

function carp(options: SpeakerOptions): Dialect {
  const { settings, key, transport, nextCounter, ownAddresses, log } = options;
  const { vhid, addresses, counter } = settings;
  const unicast = settings.unicast.length > 0;
  const receiver = createCarpReceiver({ vhid, key, addresses, counter, ownAddresses, unicast, log });
  const families = splitFamilies(addresses);
  return {
    receiver,
    say: (says) => {
      if (says.protocol !== 'carp') throw misled(says);
      const packet = encodeCarp({ ...says, vhid, counter: nextCounter(), key, ...families });
      receiver.sent(packet);
      return transport.send(packet);
    },
  };
}

function vrrp(options: SpeakerOptions, election: Exclude<ElectionSettings, { protocol: 'carp' }>): Dialect {
  const { settings, key, transport, ownAddresses, log } = options;
  const { addresses4, addresses6 } = splitFamilies(settings.addresses);
  // By UDP the family of the way is not that of the addresses.
  const family = transport.kind === 'raw' ? transport.family : addresses4.length > 0 ? 4 : 6;
  const about = {
    vrid: settings.vhid,
    version: election.protocol === 'vrrp2' ? 2 : 3,
    family,
    addresses: family === 4 ? addresses4 : addresses6,
    password: key.length === 0 || election.protocol === 'vrrp3' ? null : key,
  } as const;
  const receiver = createVrrpReceiver({
    ...about,
    intervalMs: election.intervalMs,
    unicast: settings.unicast.length > 0,
    bare: transport.kind === 'udp',
    ownAddresses,
    log,
  });
  const { checksum } = settings;
  // Version 2 refuses every other interval than its own; version 3 is believed, so it has to be true.
  const pace = election.protocol === 'vrrp2' ? { intervalMs: election.intervalMs } : {};
  return {
    receiver,
    say: (says) => {
      if (says.protocol !== 'vrrp') throw misled(says);
      const kind = checksum === 'auto' ? (receiver.checksum() ?? 'pseudo') : checksum;
      return transport.send(({ source, destination }) => {
        const way = source === null || destination === null ? null : { source, destination };
        return encodeVrrp({ ...about, ...says, ...pace }, family === 6 ? 'pseudo' : kind, way);
      });
    },
  };
}

function misled(says: Announcement): NetError {
  return new NetError('wrong-protocol', `an advert of ${says.protocol} was to be sent by another protocol`);
}
