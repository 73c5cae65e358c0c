/** Watches over a change of an address set until the other node has followed. */
import { createHash } from 'node:crypto';

import { type AddressSet, hasFollowed } from '../../model/address-set.ts';
import type { Runtime } from '../runtime.ts';

const LOOK_MS = 50;
/** What the other node still has under way is understood for so long after it was not said here any more. */
const UNDERSTAND_MS = 60_000;

/** Equal on two nodes exactly when both have the same of what must be the same: 16 hex digits. */
export function setDigest({ settings, key }: AddressSet): string {
  return createHash('sha256').update(settings.common).update('\0').update(key).digest('hex').slice(0, 16);
}

export interface AddressChangeOptions {
  readonly runtime: Runtime;
  readonly group: string;
  heardNew(): boolean;
  /** The set before is no longer needed by anybody. */
  followed(): void;
  /** It need not even be understood any more. */
  forget(): void;
}

export class AddressChange {
  readonly #options: AddressChangeOptions;
  #digest = '';
  #beganAt = 0;
  #cancel: (() => void) | null = null;
  #under = false;

  constructor(options: AddressChangeOptions) {
    this.#options = options;
  }

  begin(set: AddressSet): void {
    this.close();
    this.#digest = setDigest(set);
    this.#beganAt = this.#options.runtime.clock.now();
    this.#under = true;
    this.#look();
  }

  /** What it waits for, or null. */
  get waitsFor(): string | null {
    if (!this.#under) return null;
    const peer = this.#options.runtime.settings.peer?.name ?? 'the other nodes';
    return `the address settings changed here and not yet on ${peer}: reload it there; until then adverts of both are sent`;
  }

  #look(): void {
    const options = this.#options;
    const { group } = options;
    const { clock, peer } = options.runtime;
    const change = {
      forMs: clock.now() - this.#beganAt,
      // Words of a node that is gone bind nobody.
      peerHas: peer.channelUp ? (peer.group(group)?.addressSet ?? null) : null,
      weHave: this.#digest,
      heardNew: options.heardNew(),
    };
    if (!hasFollowed(change)) {
      this.#cancel = clock.after(LOOK_MS, () => {
        this.#look();
      });
      return;
    }
    this.#under = false;
    options.followed();
    this.#cancel = clock.after(UNDERSTAND_MS, () => {
      options.forget();
    });
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#under = false;
  }
}
