/** The shared addresses of this node: an advertiser and a driver for each group that has one. */
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';

import type { CleanupAction } from '../../device/cleanup.ts';
import { describeError, HastateError } from '../../model/errors.ts';
import type { AddressSet } from '../../model/address-set.ts';
import { electionOf } from '../../model/election.ts';
import { SYNC_FAULT, syncFaults, syncTurn, type SyncMember, type SyncOrder } from '../../model/sync-group.ts';
import type { AddressSettings, GroupSettings } from '../../model/settings.ts';
import type { AddressDriver } from '../../net/addresses.ts';
import { CARP_KEY_BYTES } from '../../protocol/carp.ts';
import { VRRP_AUTH_BYTES } from '../../protocol/vrrp.ts';
import type { Runtime } from '../runtime.ts';
import { driverOf } from './address-driver.ts';
import { startForeignAddress } from './address-foreign-start.ts';
import type { ForeignAddress } from './address-foreign.ts';
import { type Advertiser, startAdvertiser } from './advertiser.ts';
import type { AddressService } from './group-services.ts';

export interface AddressEvents {
  /** A valid advert of the peer was heard. */
  heard(): void;
  /** This node cannot lead some group any more: see `unfit`. */
  unfit(): void;
  /** `cleanupActions` are others now. */
  holds(): void;
}

export class SharedAddresses {
  readonly #runtime: Runtime;
  readonly #events: AddressEvents;
  readonly #all: { group: string; advertiser: Advertiser; driver: AddressDriver }[] = [];

  readonly #foreign: ForeignAddress[] = [];

  constructor(runtime: Runtime, events: AddressEvents) {
    this.#runtime = runtime;
    this.#events = events;
  }

  /** @throws NetError when adverts cannot be sent at all, or of who elects instead of us */
  async start(group: string, settings: AddressSettings): Promise<AddressService> {
    const key = await this.#key(group, settings);
    const foreign = await startForeignAddress({
      runtime: this.#runtime,
      group,
      settings,
      password: key.toString(),
    });
    if (foreign !== null) {
      this.#foreign.push(foreign);
      return foreign;
    }
    const set = setOf(group, settings, key);
    let advertiser: Advertiser | null = null;
    const driver = driverOf(group, () => advertiser?.set.settings ?? settings, this.#runtime.log);
    advertiser = await startAdvertiser({
      runtime: this.#runtime,
      ...{ group, set, driver },
      holds: () => this.#events.holds(),
      heard: () => this.#events.heard(),
      unfit: (now) => {
        this.#orders(group, syncFaults);
        if (now) this.#events.unfit();
      },
      turned: (_, to) => {
        this.#orders(group, (members) => syncTurn(members, group, to));
      },
    });
    this.#all.push({ group, advertiser, driver });
    return advertiser;
  }

  /**
   * Takes the settings up that a reload brought; passwords are read again in any case.
   * @returns what went wrong
   */
  async reload(groups: readonly GroupSettings[]): Promise<string[]> {
    const problems: string[] = [];
    for (const { name, address: settings } of groups) {
      const advertiser = this.#all.find(({ group }) => group === name)?.advertiser;
      if (settings === null || advertiser === undefined) continue;
      try {
        const next = setOf(name, settings, await this.#key(name, settings));
        if (!isDeepStrictEqual(next, advertiser.set)) await advertiser.configure(next);
      } catch (error) {
        problems.push(`groups.${name}.address: ${describeError(error)}; it stays as it was`);
      }
    }
    return problems;
  }

  /** What the other node is to compare with its own; null where somebody else elects. */
  setDigest(group: string): string | null {
    return this.#all.find((address) => address.group === group)?.advertiser.setDigest ?? null;
  }

  /** What is cut off is said once: the other node may cut elsewhere. */
  async #key(group: string, settings: AddressSettings): Promise<Buffer> {
    const password = settings.passwordFile === null ? '' : await readFile(settings.passwordFile, 'utf8');
    const bytes = Buffer.from(password.replace(/\r?\n$/, ''));
    const carp = settings.protocol === 'carp' || settings.protocol === 'kernel-carp';
    const most = carp ? CARP_KEY_BYTES : VRRP_AUTH_BYTES;
    if (bytes.length > most) {
      const message = `${group}: the password in ${settings.passwordFile ?? ''} has ${bytes.length} bytes and ${settings.protocol} uses the first ${most}; other programs may refuse it: shorten it`;
      this.#runtime.warnings.add(message);
      this.#runtime.log('warn', message);
    }
    return bytes.subarray(0, most);
  }

  #orders(by: string, decide: (members: readonly SyncMember[], by: string) => readonly SyncOrder[]): void {
    const syncGroupOf = ({ advertiser }: { advertiser: Advertiser }): string | null =>
      advertiser.set.settings.syncGroup;
    const first = this.#all.find(({ group }) => group === by);
    const syncGroup = first === undefined ? null : syncGroupOf(first);
    if (syncGroup === null) return;
    const all = this.#all.filter((address) => syncGroupOf(address) === syncGroup);
    const members = all.map(({ group, advertiser }) => ({
      name: group,
      state: advertiser.state(),
      fault: advertiser.unfit?.startsWith(SYNC_FAULT) === true ? null : advertiser.unfit,
    }));
    for (const { to, order, by: of } of decide(members, by)) {
      const advertiser = all.find(({ group }) => group === to)?.advertiser;
      if (order === 'lead') advertiser?.obey({ type: 'SYNC.LEAD' });
      else if (order === 'yield') advertiser?.obey({ type: 'SYNC.YIELD', reason: `${of} lost its election` });
      else advertiser?.obey({ type: order === 'fault' ? 'FAULT' : 'FAULT.OVER', by: `${SYNC_FAULT}${of}` });
    }
  }

  /** Groups that this node cannot lead, and why. */
  unfit(): { group: string; why: string }[] {
    return this.#all.flatMap(({ group, advertiser: { unfit } }) =>
      unfit === null ? [] : [{ group, why: unfit }],
    );
  }

  cleanupActions(): CleanupAction[] {
    const ours = this.#all.flatMap(({ driver, advertiser }) =>
      driver.cleanupActions(advertiser.mayHold, advertiser.set.settings.interface),
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

function setOf(group: string, settings: AddressSettings, key: Buffer): AddressSet {
  const election = electionOf(settings);
  if (election === null) throw new HastateError('no-election', `group ${group}: nobody elects its address`);
  return { settings, election, key };
}
