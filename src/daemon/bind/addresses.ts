/** The shared addresses of this node: an advertiser and a driver for each group that has one. */
import { readFile } from 'node:fs/promises';

import type { CleanupAction } from '../../device/cleanup.ts';
import { HastateError } from '../../model/errors.ts';
import { electionOf } from '../../model/election.ts';
import { SYNC_FAULT, syncFaults, syncTurn, type SyncMember, type SyncOrder } from '../../model/sync-group.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { type AddressDriver, createAddressDriver } from '../../net/addresses.ts';
import { CARP_KEY_BYTES } from '../../protocol/carp.ts';
import { VRRP_AUTH_BYTES } from '../../protocol/vrrp.ts';
import type { Runtime } from '../runtime.ts';
import { startForeignAddress } from './address-foreign-start.ts';
import type { ForeignAddress } from './address-foreign.ts';
import { type Advertiser, startAdvertiser } from './advertiser.ts';
import type { AddressService } from './group-services.ts';

export interface AddressEvents {
  /** A valid advert of the peer was heard. */
  heard(): void;
  /** This node cannot lead some group any more: see `unfit`. */
  unfit(): void;
}

export class SharedAddresses {
  readonly #runtime: Runtime;
  readonly #events: AddressEvents;
  readonly #all: {
    group: string;
    advertiser: Advertiser;
    driver: AddressDriver;
    settings: AddressSettings;
  }[] = [];

  readonly #foreign: ForeignAddress[] = [];

  constructor(runtime: Runtime, events: AddressEvents) {
    this.#runtime = runtime;
    this.#events = events;
  }

  /** @throws NetError when adverts cannot be sent at all, or of who elects instead of us */
  async start(group: string, settings: AddressSettings): Promise<AddressService> {
    const password = settings.passwordFile === null ? '' : await readFile(settings.passwordFile, 'utf8');
    const election = electionOf(settings);
    const foreign = await startForeignAddress({
      runtime: this.#runtime,
      group,
      settings,
      password: this.#key(group, settings, password.replace(/\r?\n$/, '')).toString(),
    });
    if (foreign !== null) {
      this.#foreign.push(foreign);
      return foreign;
    }
    if (election === null) throw new HastateError('no-election', `group ${group}: nobody elects its address`);
    const driver = createAddressDriver(settings.driver, this.#runtime.log);
    const advertiser = await startAdvertiser({
      runtime: this.#runtime,
      group,
      settings,
      election,
      key: this.#key(group, settings, password.replace(/\r?\n$/, '')),
      driver,
      heard: () => this.#events.heard(),
      unfit: (now) => {
        this.#orders(settings.syncGroup, (members) => syncFaults(members, group));
        if (now) this.#events.unfit();
      },
      turned: (_, to) => {
        this.#orders(settings.syncGroup, (members) => syncTurn(members, group, to));
      },
    });
    this.#all.push({ group, advertiser, driver, settings });
    return advertiser;
  }

  /** What is cut off is said once: the other node may cut elsewhere. */
  #key(group: string, settings: AddressSettings, password: string): Buffer {
    const bytes = Buffer.from(password);
    const carp = settings.protocol === 'carp' || settings.protocol === 'kernel-carp';
    const most = carp ? CARP_KEY_BYTES : VRRP_AUTH_BYTES;
    if (bytes.length > most) {
      const message = `${group}: the password in ${settings.passwordFile ?? ''} has ${bytes.length} bytes and ${settings.protocol} uses the first ${most}; other programs may refuse it: shorten it`;
      this.#runtime.warnings.add(message);
      this.#runtime.log('warn', message);
    }
    return bytes.subarray(0, most);
  }

  #orders(syncGroup: string | null, decide: (members: readonly SyncMember[]) => readonly SyncOrder[]): void {
    if (syncGroup === null) return;
    const all = this.#all.filter(({ settings }) => settings.syncGroup === syncGroup);
    const members = all.map(({ group, advertiser }) => ({
      name: group,
      state: advertiser.state(),
      fault: advertiser.unfit?.startsWith(SYNC_FAULT) === true ? null : advertiser.unfit,
    }));
    for (const { to, order, by } of decide(members)) {
      const advertiser = all.find(({ group }) => group === to)?.advertiser;
      if (order === 'lead') advertiser?.obey({ type: 'SYNC.LEAD' });
      else if (order === 'yield') advertiser?.obey({ type: 'SYNC.YIELD', reason: `${by} lost its election` });
      else advertiser?.obey({ type: order === 'fault' ? 'FAULT' : 'FAULT.OVER', by: `${SYNC_FAULT}${by}` });
    }
  }

  /** Groups that this node cannot lead, and why. */
  unfit(): { group: string; why: string }[] {
    return this.#all.flatMap(({ group, advertiser: { unfit } }) =>
      unfit === null ? [] : [{ group, why: unfit }],
    );
  }

  cleanupActions(): CleanupAction[] {
    const ours = this.#all.flatMap(({ driver, settings }) =>
      driver.cleanupActions(settings.addresses, settings.interface),
    );
    const others = this.#foreign.flatMap((address) => address.cleanupActions());
    return [...ours, ...others].map((argv) => ({ kind: 'run' as const, argv }));
  }

  stalled(ms: number): void {
    for (const { advertiser } of this.#all) advertiser.stalled(ms);
  }

  async close(): Promise<void> {
    for (const { advertiser } of this.#all) await advertiser.close();
    for (const address of this.#foreign) await address.close();
  }
}
