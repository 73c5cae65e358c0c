/**
 * What two living nodes agree on before a group moves: who may become primary (B5), and how an
 * epoch is handed over and, when nobody took it, taken back (D4).
 */
import { EngineError } from '../../model/errors.ts';
import type { Epoch } from '../../model/record.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { Runtime } from '../runtime.ts';
import type { HandoverRecords } from '../../model/handover.ts';

/** Asks the peer; rejects when it is not there, refuses or takes longer than `timeoutMs`. */
export type AskPeer = (
  method: 'claim' | 'handover',
  params: Record<string, unknown>,
  timeoutMs: number,
) => Promise<unknown>;

/** How long a node promises to leave a group to the other one. */
const CONSENT_MS = 3000;
const HANDOVER_MS = 45_000;

export class Agreement {
  readonly #runtime: Runtime;
  readonly #group: { readonly settings: GroupSettings };
  readonly #askPeer: AskPeer;
  #claiming = false;

  constructor(runtime: Runtime, group: { readonly settings: GroupSettings }, askPeer: AskPeer) {
    this.#runtime = runtime;
    this.#group = group;
    this.#askPeer = askPeer;
  }

  /** We promised the group to the peer and the promise still holds. */
  get promised(): boolean {
    return this.#runtime.peer.grantedUntil(this.#group.settings.name) > this.#runtime.clock.now();
  }

  /** The peer wants to become primary while our group is in `state`. */
  grant(peer: string, standby: boolean, state: string): { granted: boolean; forMs: number; reason: string } {
    const self = this.#runtime.node;
    if (!standby) return { granted: false, forMs: 0, reason: `${self} is ${state}` };
    const { prefer } = this.#group.settings;
    const weComeFirst = prefer === self || (prefer === null && self < peer);
    if (this.#claiming && weComeFirst) {
      return { granted: false, forMs: 0, reason: `${self} claims it too and comes first` };
    }
    this.#runtime.peer.grant(this.#group.settings.name, this.#runtime.clock.now() + CONSENT_MS);
    return { granted: true, forMs: CONSENT_MS, reason: '' };
  }

  /** @throws EngineError `claim-refused`, NetError of the peer channel */
  async claim(): Promise<void> {
    this.#claiming = true;
    try {
      const { granted, forMs, reason } = await this.#askClaim();
      if (!granted) throw new EngineError('claim-refused', `the peer does not agree: ${reason}`);
      // Half of it: the promise runs on the other node's clock from a moment that we do not know exactly.
      this.#runtime.peer.consented(this.#group.settings.name, this.#runtime.clock.now() + forMs / 2);
    } finally {
      this.#claiming = false;
    }
  }

  async #askClaim(): Promise<{ granted: boolean; forMs: number; reason: string }> {
    const reply = await this.#askPeer('claim', { group: this.#group.settings.name }, CONSENT_MS);
    const { granted, forMs, reason } = reply as Record<string, unknown>;
    return {
      granted: granted === true && typeof forMs === 'number',
      forMs: Number(forMs),
      reason: String(reason),
    };
  }

  /** @throws EngineError `handover-refused`, NetError of the peer channel: then nobody may know who has it */
  async handOver(epoch: Epoch, records: HandoverRecords): Promise<void> {
    const params = { group: this.#group.settings.name, epoch, records };
    const reply = await this.#askPeer('handover', params, HANDOVER_MS);
    const { accepted, reason } = reply as Record<string, unknown>;
    if (accepted !== true) {
      throw new EngineError('handover-refused', `the peer did not take over: ${String(reason)}`);
    }
    this.#runtime.peer.tookOver(this.#group.settings.name);
  }

  /** D4: only the peer's word that it recorded no newer epoch makes this node promotable again. */
  async settleBack(epoch: Epoch): Promise<void> {
    const { granted, reason } = await this.#askClaim();
    const theirs =
      this.#runtime.peer.report(this.#group.settings.name)?.epoch.number ?? Number.POSITIVE_INFINITY;
    if (!granted || theirs > epoch.number) {
      throw new EngineError(
        'handover-open',
        `the handover is not settled: ${reason}; this node waits until it has met the peer`,
      );
    }
  }
}
