/** What an advertiser's chart did, as lines of the journal. */
import type { AddressChange, FlapAlarm, StateChange } from '../../../machines/advertiser-context.ts';
import type { AddressSettings } from '../../model/settings.ts';
import type { Journal } from '../journal.ts';

/** The chart's words for a tie that this node gave up. */
const EQUAL = 'equal master';

export class AdvertiserNotes {
  readonly #journal: Pick<Journal, 'add'>;
  readonly #group: string;
  readonly #simulated: boolean;
  #saidEqual = false;

  constructor(journal: Pick<Journal, 'add'>, group: string, simulated: boolean) {
    this.#journal = journal;
    this.#group = group;
    this.#simulated = simulated;
  }

  state(
    { protocol, vhid }: Pick<AddressSettings, 'protocol' | 'vhid'>,
    { from, to, reason }: StateChange,
  ): void {
    const id = protocol === 'vrrp2' || protocol === 'vrrp3' ? 'vrid' : 'vhid';
    this.#add('address.carp', 'info', `${id} ${vhid} ${from} -> ${to} (${reason})`);
    if (reason !== EQUAL || this.#saidEqual) return;
    this.#saidEqual = true;
    const todo = `give one of them another ${id === 'vrid' ? 'priority' : 'advskew'}`;
    this.#add(
      'address.equal',
      'warn',
      `another MASTER of ${id} ${vhid} is exactly as good as this node: ${todo}`,
    );
  }

  flapping({ flap }: AddressSettings, { flaps, holdMs }: FlapAlarm): void {
    const held = `this node stays BACKUP for ${holdMs / 1000} s`;
    const look = 'look for lost adverts or two nodes with one set of settings';
    const much = `${flaps} elections in ${flap.windowMs / 1000} s are too many`;
    this.#add('address.flapping', 'error', `${much}: ${held}; ${look}`);
  }

  address(
    settings: Pick<AddressSettings, 'addresses' | 'interface'>,
    { change, error }: AddressChange,
  ): void {
    const where = `${settings.interface}${this.#simulated ? ' (simulated)' : ''}`;
    const failed = error === null ? '' : `: ${error}; it is tried again`;
    const message = `${settings.addresses.join(', ')} ${change} on ${where}${failed}`;
    this.#add(`address.${change}`, error === null ? 'info' : 'error', message);
  }

  duplicate(iface: string, address: string, mac: string): void {
    const todo = `find it by its MAC and take ${address} off there`;
    this.#add('address.duplicate', 'error', `${address} is up here and on ${mac} at ${iface}, too: ${todo}`);
  }

  leftover(iface: string, cidr: string): void {
    this.#add('address.leftover', 'warn', `an earlier life left ${cidr} on ${iface}; removed`);
  }

  configured(settings: AddressSettings, waitsFor: string | null): void {
    const numbers = `${settings.addresses.join(', ')} (${settings.protocol} ${settings.vhid})`;
    const rest = waitsFor === null ? '' : `; ${waitsFor}`;
    this.#add('address.configured', 'info', `address settings now in force: ${numbers}${rest}`);
  }

  followed(): void {
    this.#add(
      'address.followed',
      'info',
      'all nodes have the new address settings: the old ones are sent no more',
    );
  }

  #add(kind: string, level: 'info' | 'warn' | 'error', message: string): void {
    this.#journal.add({ kind, level, group: this.#group, message: `${this.#group}: ${message}` });
  }
}
