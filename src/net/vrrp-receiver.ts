/** Lets only valid VRRP adverts of one vrid, version and family through. @see carp-vrrp 0.2, 2.1, 2.2 */
import { addressOf, packIPv4, packIPv6, splitFamilies } from '../protocol/ip-address.ts';
import { decodeVrrp, vrrpPasswordFits } from '../protocol/vrrp.ts';
import type { VrrpAdvert, VrrpChecksum, VrrpVersion, VrrpWay } from '../protocol/vrrp.ts';
import { createReceiver } from './advert-receiver.ts';
import type { AdvertReceiver, ReceiverBasics } from './advert-receiver.ts';
import type { AdvertMeta } from './advert-transport.ts';

export interface VrrpReceiver extends AdvertReceiver {
  /** What the last valid advert had; null before the first. */
  checksum(): VrrpChecksum | null;
}

const GROUP = { 4: '224.0.0.18', 6: 'ff02::12' } as const;
const CARP_SHAPE = { bytes: 36, first: 0x21, authWords: 7 } as const;

export function createVrrpReceiver(
  options: ReceiverBasics & {
    readonly vrid: number;
    readonly version: VrrpVersion;
    readonly family: 4 | 6;
    /** ms; version 2 refuses every other interval. */
    readonly intervalMs: number;
    /** Version 2 only; null = adverts with authentication are refused. */
    readonly password: Buffer | null;
    /** The transport has no IP header of ours (UDP): checksums cover the message alone. */
    readonly bare?: boolean;
    /** Every address of the vrid, CIDR or plain. */
    readonly addresses: readonly string[];
  },
): VrrpReceiver {
  const { vrid, version, family, intervalMs, password } = options;
  const shared = packed(options.addresses, family);
  let checksum: VrrpChecksum | null = null;

  const receiver = createReceiver(
    `vrrp ${version} vrid ${vrid} IPv${family}`,
    options,
    (packet, meta, drops) => {
      if (packet.length >= 2 && packet[1] !== vrid) return { reason: 'other-vrid' };
      if (isCarp(packet)) {
        const detail = `${meta.source} speaks CARP with the same id ${vrid}: give one of the two another`;
        return { reason: 'other-protocol', detail };
      }
      const advert = decodeVrrp(
        packet,
        family,
        options.bare === true ? [] : waysOf(meta, family, options.ownAddresses),
      );
      const from = `from ${meta.source}`;
      if (advert.version !== version) {
        const detail = `version ${advert.version} ${from} where this node speaks version ${version}`;
        return { reason: 'vrrp-version', detail };
      }
      if (!vrrpPasswordFits(advert, password)) {
        return { reason: 'auth', detail: `wrong password or authentication type ${from}` };
      }
      if (version === 2 && advert.intervalMs !== intervalMs) {
        const detail = `advert interval ${advert.intervalMs} ms ${from} is not our ${intervalMs} ms: make them equal`;
        return { reason: 'interval', detail };
      }
      // Whose list is wrong cannot be told from here; dropping would give the segment two masters.
      if (!sameAddresses(advert, shared)) {
        drops.drop('address-list', `${advert.addresses.join(', ')} ${from} are not our addresses`, meta.at);
      }
      checksum = advert.checksum;
      return { protocol: 'vrrp', priority: advert.priority, intervalMs: advert.intervalMs };
    },
  );
  return { ...receiver, checksum: () => checksum };
}

/** What the IP header held, as far as the system tells. */
function waysOf(meta: AdvertMeta, family: 4 | 6, ownAddresses: () => ReadonlySet<string>): VrrpWay[] {
  if (meta.destination !== null) return [{ source: meta.source, destination: meta.destination }];
  const own = [...ownAddresses()].map((address) => address.split('%', 1)[0] ?? '');
  const ours = own.filter((address) => address.includes(':') === (family === 6));
  return [GROUP[family], ...ours].map((destination) => ({ source: meta.source, destination }));
}

function isCarp(packet: Buffer): boolean {
  const { bytes, first, authWords } = CARP_SHAPE;
  return packet.length === bytes && packet[0] === first && packet[3] === authWords;
}

function packed(addresses: readonly string[], family: 4 | 6): string {
  const { addresses4, addresses6 } = splitFamilies(addresses.map(addressOf));
  const bytes = family === 4 ? addresses4.map(packIPv4) : addresses6.map(packIPv6);
  return bytes
    .map((one) => one.toString('hex'))
    .sort()
    .join();
}

function sameAddresses(advert: VrrpAdvert, shared: string): boolean {
  return packed(advert.addresses, advert.family) === shared;
}
