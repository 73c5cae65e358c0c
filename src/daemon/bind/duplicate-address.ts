/** Tells, once for each of them, who else has an address that is up here. */
import { describeError } from '../../model/errors.ts';
import { type ClaimWatch, probeClaims, watchClaims } from '../../net/claim-watch.ts';
import type { NetLog } from '../../net/log.ts';
import { addressOf, canonicalAddress } from '../../protocol/ip-address.ts';

/** Who was told is told again only after this time. ms */
const SAY_AGAIN_MS = 60_000;
const MOST_KNOWN = 64;

export interface DuplicateOptions {
  readonly log: NetLog;
  readonly now: () => number;
  tell(address: string, mac: string): void;
}

export class DuplicateAddresses {
  readonly #options: DuplicateOptions;
  readonly #toldAt = new Map<string, number>();
  readonly #watches = new Map<string, ClaimWatch>();
  #found = 0;
  #complained = false;

  constructor(options: DuplicateOptions) {
    this.#options = options;
  }

  /** Claims of others so far. */
  get found(): number {
    return this.#found;
  }

  /** Asks now, and hears from now on until `stop`. @param addressesOn see Announcer */
  look(addressesOn: ReadonlyMap<string, readonly string[]>): void {
    try {
      for (const [iface, cidrs] of addressesOn) {
        const ours = cidrs.map((cidr) => canonicalAddress(addressOf(cidr)));
        this.#watch(iface, ours);
        probeClaims(iface, ours);
      }
    } catch (error) {
      const message = `duplicate addresses are not seen: ${describeError(error)}`;
      if (!this.#complained) this.#options.log('debug', message);
      this.#complained = true;
    }
  }

  #watch(iface: string, ours: readonly string[]): void {
    if (this.#watches.has(iface)) return;
    const watch = watchClaims(iface, ours, ({ address, mac }) => {
      this.#claimed(address, mac);
    });
    if (watch !== null) this.#watches.set(iface, watch);
  }

  #claimed(address: string, mac: string): void {
    this.#found += 1;
    const key = `${address} ${mac}`;
    const now = this.#options.now();
    if (now - (this.#toldAt.get(key) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MS) return;
    if (this.#toldAt.size >= MOST_KNOWN) this.#toldAt.clear();
    this.#toldAt.set(key, now);
    this.#options.tell(address, mac);
  }

  stop(): void {
    for (const watch of this.#watches.values()) watch.close();
    this.#watches.clear();
  }
}
