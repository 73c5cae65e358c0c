/** Tells the segment where the addresses of a group are while they are up here, and hears who else says so. */
import type { AddressSettings } from '../../model/settings.ts';
import type { AddressDriver } from '../../net/addresses.ts';
import { type Announcer, byCarrier, createAnnouncer } from '../../net/announcer.ts';
import type { Runtime } from '../runtime.ts';
import type { AdvertiserNotes } from './advertiser-notes.ts';
import { DuplicateAddresses } from './duplicate-address.ts';

export interface HeraldOptions {
  readonly runtime: Runtime;
  readonly group: string;
  readonly driver: AddressDriver;
  readonly notes: AdvertiserNotes;
  /** The settings as they are by then. */
  readonly current: () => AddressSettings;
}

export class AddressHerald {
  readonly #options: HeraldOptions;
  readonly #duplicates: DuplicateAddresses;
  #announcer: Announcer | null = null;

  constructor(options: HeraldOptions) {
    const { runtime, notes, current } = options;
    this.#options = options;
    this.#duplicates = new DuplicateAddresses({
      log: runtime.log,
      now: () => runtime.clock.now(),
      tell: (address, mac) => {
        notes.duplicate(current().interface, address, mac);
      },
    });
  }

  /** Claims of others so far. */
  get duplicates(): number {
    return this.#duplicates.found;
  }

  /** A series of announcements begins. */
  announce(): void {
    const { driver, runtime, group, current } = this.#options;
    if (driver.kind === 'simulated') return;
    const { addresses, interface: iface } = current();
    const addressesOn = byCarrier(addresses, iface, driver.carrier);
    this.#announcer?.stop();
    this.#announcer = createAnnouncer({
      addressesOn,
      log: (level, message) => runtime.log(level, `${group}: ${message}`),
    });
    this.#announcer.announce();
    this.#duplicates.look(addressesOn);
  }

  /** The addresses are going away, or are others now. */
  stop(): void {
    this.#announcer?.stop();
    this.#announcer = null;
    this.#duplicates.stop();
  }
}
