/**
 * A group's address that somebody else elects and moves: the kernel, keepalived, or, with `external`, a cluster
 * manager or a person. It may be here before the services are, so this node holds itself back until they run.
 * @see SAFETY C4
 */
import { advertIntervalMs, announcementOf, downIntervalMs, electionOf } from '../../model/election.ts';
import type { ElectionSettings } from '../../model/election.ts';
import { describeError, HastateError } from '../../model/errors.ts';
import type { CarpState } from '../../model/roles.ts';
import type { AddressSettings } from '../../model/settings.ts';
import type { ForeignElection, StateNews } from '../../net/foreign-election.ts';
import type { AddressStatus } from '../../protocol/control.ts';
import type { Runtime } from '../runtime.ts';
import { authenticationOf } from './address-status.ts';
import type { AddressService } from './group-services.ts';

/** From the end of holding back to the address: an election, and the kernel counts in seconds. */
const RAISE_MS = 10_000;
const LOWER_MS = 5000;
/** Where keepalived's numbers are not ours, none is shown that means something. */
const UNKNOWN_ELECTION: ElectionSettings = {
  protocol: 'vrrp2',
  priority: 1,
  intervalMs: 1000,
  downAdverts: 3,
};

interface Change extends StateNews {
  readonly at: number;
  readonly time: string;
}

export class ForeignAddress implements AddressService {
  readonly #runtime: Runtime;
  readonly #group: string;
  readonly #settings: AddressSettings;
  readonly #waiting = new Set<() => void>();
  #election: ForeignElection | null = null;
  #lastChange: Change | null = null;
  #heldBack = true;

  private constructor(runtime: Runtime, group: string, settings: AddressSettings) {
    this.#runtime = runtime;
    this.#group = group;
    this.#settings = settings;
  }

  /**
   * @param start begins to listen to whoever elects; null for `external`, where nobody is heard
   * @throws NetError of the driver
   */
  static async start(
    about: { readonly runtime: Runtime; readonly group: string; readonly settings: AddressSettings },
    start: ((onChange: (news: StateNews) => void) => Promise<ForeignElection>) | null,
  ): Promise<ForeignAddress> {
    const address = new ForeignAddress(about.runtime, about.group, about.settings);
    address.#election = start === null ? null : await start((news) => address.#changed(news));
    return address;
  }

  #changed(news: StateNews): void {
    const { clock, journal } = this.#runtime;
    this.#lastChange = { ...news, at: clock.now(), time: new Date().toISOString() };
    journal.add({
      kind: 'address.carp',
      level: 'info',
      group: this.#group,
      message: `${this.#group}: ${this.#settings.protocol} ${news.from} -> ${news.to} (${news.reason})`,
    });
    for (const look of this.#waiting) look();
  }

  /** With `external` nobody tells: the group is led where its role says. */
  state(): CarpState {
    return this.#election?.state() ?? (this.#heldBack ? 'BACKUP' : 'MASTER');
  }

  /** Who elects looks at links and scripts itself. */
  readonly unfit = null;

  status(): AddressStatus {
    const { clock, startedAt } = this.#runtime;
    const settings = this.#settings;
    const trouble = this.#election?.trouble() ?? null;
    const candidate = {
      ...{ settings: electionOf(settings) ?? UNKNOWN_ELECTION, demotion: {}, selfAddresses: [] },
      ...{ learnedMs: null, yieldsOwnership: false },
    };
    const change = this.#lastChange;
    return {
      ...{ protocol: settings.protocol, interface: settings.interface, state: this.state() },
      sinceMs: Math.max(0, Math.round(clock.now() - (change?.at ?? startedAt))),
      lastTransition:
        change === null
          ? null
          : { from: change.from, to: change.to, reason: change.reason, time: change.time },
      ...{ vhid: settings.vhid, addresses: settings.addresses, up: this.state() === 'MASTER' },
      carriers: [settings.interface],
      transport: settings.protocol,
      authentication: authenticationOf(settings),
      ...{ says: announcementOf(candidate), configured: announcementOf(candidate), follows: null },
      timers: { advertMs: advertIntervalMs(candidate), downMs: downIntervalMs(candidate), learnedMs: null },
      ...{ preempt: settings.preempt, preemptDelayMs: settings.preemptDelayMs },
      demotion: {},
      faults: trouble === null ? [] : [trouble],
      hold: this.#election !== null && this.#heldBack ? 'held back until the services run here' : null,
      elections: 0,
      waitsFor: null,
      peers: [],
      counters: this.counters(),
    };
  }

  /** @throws HastateError `address-not-here` when another node keeps it */
  async raise(): Promise<void> {
    await this.#holdBack(false);
    if (await this.#reaches((state) => state === 'MASTER', RAISE_MS)) return;
    throw new HastateError(
      'address-not-here',
      `${this.#group}: ${this.#settings.protocol} did not give the address to this node in ${RAISE_MS / 1000} s, although its services run here; ${this.#election?.trouble() ?? 'is another node preferred there?'}`,
    );
  }

  /** Where no other node takes it, the address stays: nothing here answers behind it. */
  async lower(): Promise<void> {
    await this.#holdBack(true);
    await this.#election?.handOver();
    if (await this.#reaches((state) => state !== 'MASTER', LOWER_MS)) return;
    this.#runtime.log('warn', `${this.#group}: the address stays on this node: no other node takes it`);
  }

  reassert(): void {
    this.#quietly(this.#holdBack(false));
  }

  /** It holds back since it was lowered, which is all that there is to say. */
  released(): void {
    this.#quietly(this.#holdBack(true));
  }

  /** An election among nodes that all hold back still has a winner, so there is nothing to forbid. */
  eligible(): void {
    // C4: the group's verdict decides, not who has the address.
  }

  clearHold(): void {
    // Flapping is counted where the election is.
  }

  cleanupActions(): string[][] {
    return this.#election?.cleanupActions() ?? [];
  }

  counters(): Record<string, number> {
    return this.#election?.counters() ?? {};
  }

  async close(): Promise<void> {
    await this.#election?.close();
  }

  async #holdBack(on: boolean): Promise<void> {
    if (on === this.#heldBack) return;
    await this.#election?.holdBack(on);
    this.#heldBack = on;
  }

  #quietly(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#runtime.log('warn', `${this.#group}: ${describeError(error)}`);
    });
  }

  #reaches(fits: (state: CarpState) => boolean, ms: number): Promise<boolean> {
    if (this.#election === null || fits(this.state())) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (reached: boolean): void => {
        this.#waiting.delete(look);
        clearTimeout(timer);
        resolve(reached);
      };
      const look = (): void => {
        if (fits(this.state())) end(true);
      };
      const timer = setTimeout(() => end(false), ms);
      this.#waiting.add(look);
    });
  }
}
