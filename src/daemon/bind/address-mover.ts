/** Puts all addresses of a group on its interface and takes them off again, also while the list changes. */
import type { AddressSettings } from '../../model/settings.ts';
import type { AddressDriver } from '../../net/addresses.ts';

export interface MoverOptions {
  readonly driver: AddressDriver;
  /** The settings as they are by then. */
  readonly current: () => AddressSettings;
  /** `mayHold` is another now. */
  holds(): void;
}

export class AddressMover {
  readonly #options: MoverOptions;
  /** No longer of the list, and perhaps still on the interface. */
  #gone: readonly string[] = [];
  /** Commands for one list end before those for the next begin. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: MoverOptions) {
    this.#options = options;
  }

  /** All addresses that may be on the interface because of us. */
  get mayHold(): readonly string[] {
    return [...this.#options.current().addresses, ...this.#gone];
  }

  /** Another list is about to take the place of the current one. @param mayBeUp what is of the old one may be up */
  leave(next: AddressSettings, mayBeUp: boolean): void {
    this.#gone = mayBeUp ? this.mayHold.filter((cidr) => !next.addresses.includes(cidr)) : [];
  }

  /** @throws NetError of the driver */
  add(): Promise<undefined> {
    return this.#inOrder(async () => {
      await this.#each('add', this.#options.current().addresses);
      // With the first address of a network Linux takes the others of it away.
      if (await this.#removeGone()) await this.#each('add', this.#options.current().addresses);
    });
  }

  /** @throws NetError of the driver */
  remove(): Promise<undefined> {
    return this.#inOrder(async () => {
      await this.#each('remove', this.#options.current().addresses);
      await this.#removeGone();
    });
  }

  async #each(verb: 'add' | 'remove', cidrs: readonly string[]): Promise<void> {
    const { driver, current } = this.#options;
    for (const cidr of cidrs) await driver[verb](cidr, current().interface);
  }

  /** @returns whether there were any */
  async #removeGone(): Promise<boolean> {
    const going = this.#gone;
    if (going.length === 0) return false;
    await this.#each('remove', going);
    this.#gone = this.#gone.filter((cidr) => !going.includes(cidr));
    this.#options.holds();
    return true;
  }

  #inOrder(task: () => Promise<void>): Promise<undefined> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result.then(() => undefined);
  }
}
