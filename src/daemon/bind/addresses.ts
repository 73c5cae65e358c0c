/** The shared addresses of this node: an advertiser and a driver for each group that has one. */
import { readFile } from 'node:fs/promises';

import type { CleanupAction } from '../../device/cleanup.ts';
import { HastateError } from '../../model/errors.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { type AddressDriver, createAddressDriver } from '../../net/addresses.ts';
import type { Runtime } from '../runtime.ts';
import { type Advertiser, startAdvertiser } from './advertiser.ts';

/** A password counts to this many bytes, as ifconfig takes it. */
const KEY_BYTES = 19;

export class SharedAddresses {
  readonly #runtime: Runtime;
  readonly #heard: () => void;
  readonly #all: { advertiser: Advertiser; driver: AddressDriver; settings: AddressSettings }[] = [];

  /** @param heard a valid advert of the peer was heard */
  constructor(runtime: Runtime, heard: () => void) {
    this.#runtime = runtime;
    this.#heard = heard;
  }

  /** @throws HastateError `protocol-not-there`, NetError when adverts cannot be sent at all */
  async start(group: string, settings: AddressSettings): Promise<Advertiser> {
    if (settings.protocol !== 'carp') {
      throw new HastateError(
        'protocol-not-there',
        `group ${group}: address protocol '${settings.protocol}' is not there yet; use carp`,
      );
    }
    const driver = createAddressDriver(settings.driver, this.#runtime.log);
    const password = settings.passwordFile === null ? '' : await readFile(settings.passwordFile, 'utf8');
    const advertiser = await startAdvertiser({
      runtime: this.#runtime,
      group,
      settings,
      key: Buffer.from(password.replace(/\r?\n$/, '')).subarray(0, KEY_BYTES),
      driver,
      heard: this.#heard,
    });
    this.#all.push({ advertiser, driver, settings });
    return advertiser;
  }

  cleanupActions(): CleanupAction[] {
    return this.#all.flatMap(({ driver, settings }) =>
      driver
        .cleanupActions(settings.addresses, settings.interface)
        .map((argv) => ({ kind: 'run' as const, argv })),
    );
  }

  stalled(ms: number): void {
    for (const { advertiser } of this.#all) advertiser.stalled(ms);
  }

  async close(): Promise<void> {
    for (const { advertiser } of this.#all) await advertiser.close();
  }
}
