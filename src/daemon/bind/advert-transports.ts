/** What an advertiser stands on: a transport of each family, and watches over what makes this node unfit. */
import type { AddressSet } from '../../model/address-set.ts';
import type { CarpState } from '../../model/roles.ts';
import type { AddressDriver } from '../../net/addresses.ts';
import type { AdvertTransport } from '../../net/advert-transport.ts';
import { openAdvertTransport } from '../../net/advert-transport.ts';
import { interfaceAddresses } from '../../net/interfaces.ts';
import { splitFamilies } from '../../protocol/ip-address.ts';
import type { Runtime } from '../runtime.ts';
import { type Fitness, watchFitness } from './fitness.ts';

export interface AdvertiserOptions {
  readonly runtime: Runtime;
  readonly group: string;
  /** At the start; `Advertiser.set` is what holds. */
  readonly set: AddressSet;
  readonly driver: AddressDriver;
  /** Other addresses may be up because of this one: see `Advertiser.mayHold`. */
  holds(): void;
  /** A valid advert of the peer was heard. */
  heard(): void;
  /** What this node cannot lead without is gone, or there again: see `Advertiser.unfit`. */
  unfit(now: boolean): void;
  /** The advertiser is in another state. */
  turned(from: CarpState, to: CarpState): void;
}

/** One of each family that the address has; by UDP one for all. */
export async function openTransports(
  runtime: Runtime,
  { settings, election }: AddressSet,
): Promise<AdvertTransport[]> {
  const { addresses4, addresses6 } = splitFamilies(settings.addresses);
  const families = [
    ...(addresses4.length > 0 ? [4 as const] : []),
    ...(addresses6.length > 0 ? [6 as const] : []),
  ];
  const own = new Set(interfaceAddresses(settings.interface));
  const open: AdvertTransport[] = [];
  try {
    for (const family of families) {
      const transport = await openAdvertTransport({
        transport: settings.transport,
        family,
        protocol: election.protocol,
        id: settings.vhid,
        shared: settings.addresses,
        interface: settings.interface,
        unicast: settings.unicast.filter((node) => !own.has(node) && node.includes(':') === (family === 6)),
        peers: runtime.settings.peer?.addresses.map(({ host }) => host) ?? [],
        port: runtime.settings.advertPort,
        bind: runtime.settings.peerListen.map(({ host }) => host),
        log: runtime.log,
      });
      open.push(transport);
      if (transport.kind === 'udp') break;
    }
  } catch (error) {
    for (const transport of open) transport.close();
    throw error;
  }
  return open;
}

/** Null where no address is put on a real interface. */
export async function fitnessOf(
  { runtime, set: { settings }, group, driver }: AdvertiserOptions,
  transports: readonly AdvertTransport[],
): Promise<Fitness | null> {
  if (driver.kind === 'simulated') return null;
  return watchFitness({
    settings,
    families: transports.filter(({ kind }) => kind === 'raw').map(({ family }) => family),
    log: runtime.log,
    changed: ({ name }, well, why) => {
      runtime.journal.add({
        kind: 'address.track',
        level: well ? 'info' : 'warn',
        group,
        message: `${group}: ${name} is ${well ? 'well' : 'not well'}: ${why}`,
      });
    },
  });
}
