/** One shared address: its advertiser chart over what is said and heard, and the driver that moves it. */
import { type Actor, fromPromise } from 'xstate';

import { advertiserMachine, type AdvertiserEvent, type AdvertToSend } from '../../../machines/advertiser.ts';
import type { StateChange } from '../../../machines/advertiser-context.ts';
import { type AddressSet, atThePaceOf, differOnTheWire } from '../../model/address-set.ts';
import { isGoodbye } from '../../model/election.ts';
import { describeError } from '../../model/errors.ts';
import type { CarpState } from '../../model/roles.ts';
import { ownFault } from '../../model/sync-group.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { removeLeftovers } from '../../net/addresses.ts';
import type { ReceivedAdvert } from '../../net/advert-receiver.ts';
import type { AdvertTransport } from '../../net/advert-transport.ts';
import { byCarrier } from '../../net/announcer.ts';
import { interfaceAddresses } from '../../net/interfaces.ts';
import type { AddressStatus } from '../../protocol/control.ts';
import type { Runtime } from '../runtime.ts';
import { reach, runChart } from './actors.ts';
import { AddressChange, setDigest } from './address-change.ts';
import { AddressHerald } from './address-herald.ts';
import { AddressMover } from './address-mover.ts';
import { AdvertVoices } from './advert-voices.ts';
import { type AdvertiserOptions, fitnessOf, openTransports } from './advert-transports.ts';
import { chartSettings } from './advertiser-input.ts';
import { AdvertiserNotes } from './advertiser-notes.ts';
import type { Fitness } from './fitness.ts';
import { addressStatus } from './address-status.ts';
import type { AddressService } from './group-services.ts';

const ADDRESS_MS = 10_000;
const REASSERT_MS = 1000;

export async function startAdvertiser(options: AdvertiserOptions): Promise<Advertiser> {
  const { runtime, driver, set } = options;
  const { settings } = set;
  const transports = await openTransports(runtime, set);
  const why = transports.find((transport) => transport.why !== undefined)?.why;
  if (why !== undefined)
    runtime.warnings.add(`adverts of ${options.group} go by UDP, which only hastate nodes hear: ${why}`);
  for (const { note } of transports)
    if (note !== undefined) runtime.warnings.add(`adverts of ${options.group}: ${note}`);
  const notes = new AdvertiserNotes(runtime.journal, options.group, driver.kind === 'simulated');
  for (const cidr of await removeLeftovers(driver, settings.addresses, settings.interface))
    notes.leftover(settings.interface, cidr);
  const fitness = await fitnessOf(options, transports);
  return new Advertiser(options, transports, fitness, notes);
}

export class Advertiser implements AddressService {
  readonly #options: AdvertiserOptions;
  readonly #voices: AdvertVoices;
  readonly #mover: AddressMover;
  readonly #herald: AddressHerald;
  /** Elections won and lost, good-byes said and heard. */
  readonly #totals = { 'became-master': 0, 'left-master': 0, 'goodbye-sent': 0, 'goodbye-heard': 0 };
  readonly #change: AddressChange;
  readonly #notes: AdvertiserNotes;
  readonly #actor: Actor<typeof advertiserMachine>;
  readonly #fitness: Fitness | null;
  #set: AddressSet;
  #unfit: string | null = null;
  #eligible = false;
  #counter: bigint;
  #lastSentAt: number | null = null;
  /** Valid adverts so far: garbage must not keep a dead master alive. */
  #accepted = 0;
  #lastChange: (StateChange & { readonly at: number; readonly time: string }) | null = null;
  #reassertedAt = Number.NEGATIVE_INFINITY;
  #closing = false;

  constructor(
    options: AdvertiserOptions,
    transports: readonly AdvertTransport[],
    fitness: Fitness | null,
    notes: AdvertiserNotes,
  ) {
    const { runtime, set } = options;
    const { settings } = set;
    this.#options = options;
    this.#set = set;
    this.#notes = notes;
    this.#fitness = fitness;
    const current = (): AddressSettings => this.#set.settings;
    const { driver, group } = options;
    this.#herald = new AddressHerald({ runtime, group, driver, notes, current });
    this.#mover = new AddressMover({ driver, current, holds: () => options.holds() });
    this.#counter = firstCounter(settings, runtime);
    const byUdp = transports.some(({ kind }) => kind === 'udp');
    const bound = byUdp ? runtime.settings.peerListen.map(({ host }) => host) : [];
    this.#voices = new AdvertVoices({
      set,
      transports,
      nextCounter: () => (this.#counter = BigInt.asUintN(64, this.#counter + 1n)),
      ownAddresses: () => [...interfaceAddresses(settings.interface), ...bound],
      log: runtime.log,
      heard: (advert) => this.#heard(advert),
    });
    this.#change = new AddressChange({
      ...{ runtime, group: options.group },
      heardNew: () => this.#voices.heardNew,
      followed: () => this.#followed(),
      forget: () => this.#voices.forget(),
    });
    this.#actor = runChart(runtime, {
      id: `advertiser.${options.group}`,
      name: 'advertiser',
      machine: this.#bound(),
      input: {
        election: set.election,
        ...chartSettings(settings),
        selfAddresses: this.#voices.sources(),
        eligible: false,
        linkUp: fitness?.linkUp ?? true,
        seed: Number.parseInt(runtime.randomId().slice(0, 8), 16),
      },
      about: { group: options.group },
      describe: (snapshot) => snapshot.context.reason,
      onChange: ({ context }) => {
        const before = this.#unfit;
        this.#unfit = context.linkUp ? ownFault(context.faults) : `link ${settings.interface}`;
        if (before !== this.#unfit) options.unfit(this.#unfit !== null);
      },
    });
    fitness?.start((event) => this.#actor.send(event));
    this.#actor.send({ type: 'ADMIN.START' });
  }

  get set(): AddressSet {
    return this.#set;
  }

  /** Tells whether the other node has the same. */
  get setDigest(): string {
    return setDigest(this.#set);
  }

  get mayHold(): readonly string[] {
    return this.#mover.mayHold;
  }

  /**
   * Takes other settings up, in the state that it is in. Protocol, interface and driver stay.
   * @throws NetError of a transport that cannot be opened: then everything is as before
   */
  async configure(next: AddressSet): Promise<void> {
    const before = this.#set;
    const wire = differOnTheWire(before, next);
    const looks = listOf(before) !== listOf(next);
    if (wire) this.#voices.change(next, await openTransports(this.#options.runtime, next));
    const { context } = this.#actor.getSnapshot();
    this.#mover.leave(next.settings, context.addressMayBeUp);
    this.#set = next;
    if (looks) this.#herald.stop();
    this.#options.holds();
    if (wire) this.#change.begin(next);
    const { election } = context.settings;
    this.#configureChart(this.#voices.saysBoth ? atThePaceOf(election, next.election) : next.election);
    if (looks && context.addressMayBeUp) this.#actor.send({ type: 'ADDRESSES' });
    this.#notes.configured(next.settings, this.#change.waitsFor);
  }

  #configureChart(election: AddressSet['election']): void {
    const settings = {
      ...chartSettings(this.#set.settings),
      election,
      selfAddresses: this.#voices.sources(),
    };
    this.#actor.send({ type: 'CONFIGURE', settings });
  }

  #followed(): void {
    if (!this.#voices.saysBoth) return;
    this.#voices.settle();
    this.#configureChart(this.#set.election);
    this.#notes.followed();
  }

  #heard({ says, source }: ReceivedAdvert): void {
    this.#accepted += 1;
    if (isGoodbye(says)) this.#totals['goodbye-heard'] += 1;
    if (this.#isFromPeer(source)) this.#options.heard();
    this.#actor.send({ type: 'RX', says, source, at: this.#options.runtime.clock.now() });
  }

  /** A sensor for the election takes any advert; the word of the peer is one that others cannot send. */
  #isFromPeer(source: string): boolean {
    const { runtime } = this.#options;
    const { settings, key } = this.#set;
    if (settings.protocol === 'carp' && key.length > 0) return true;
    return runtime.settings.peer?.addresses.some(({ host }) => host === source) === true;
  }

  #bound() {
    const { runtime } = this.#options;
    return advertiserMachine.provide({
      actors: {
        drainAdverts: fromPromise(async () => {
          const before = this.#accepted;
          await this.#voices.drain();
          return { heard: this.#accepted > before };
        }),
        addAddresses: fromPromise(() => this.#mover.add()),
        removeAddresses: fromPromise(() => {
          this.#herald.stop();
          return this.#mover.remove();
        }),
      },
      actions: {
        sendAdvert: (_, advert) => {
          this.#send(advert);
        },
        sendBowOut: (_, { says }) => {
          this.#totals['goodbye-sent'] += 1;
          this.#send({ says, gapLimitMs: null });
        },
        announceAddresses: () => {
          this.#herald.announce();
        },
        notifyState: (_, change) => {
          const { from, to } = change;
          if (to === 'MASTER') this.#totals['became-master'] += 1;
          if (from === 'MASTER') this.#totals['left-master'] += 1;
          this.#lastChange = { ...change, at: runtime.clock.now(), time: new Date().toISOString() };
          // After the chart is in its new state.
          queueMicrotask(() => this.#options.turned(from, to));
          this.#notes.state(this.#set.settings, change);
        },
        notifyFlapping: (_, alarm) => {
          this.#notes.flapping(this.#set.settings, alarm);
        },
        notifyAddress: (_, change) => {
          this.#notes.address(this.#set.settings, change);
        },
      },
    });
  }

  #send({ says, gapLimitMs }: AdvertToSend): void {
    const now = this.#options.runtime.clock.now();
    const gap = this.#lastSentAt === null ? 0 : now - this.#lastSentAt;
    this.#lastSentAt = now;
    if (gapLimitMs !== null && gap > gapLimitMs) {
      this.#event({ type: 'LOOP.STALL', ms: gap });
      return;
    }
    const error = this.#voices.say(says);
    this.#event(error === null ? { type: 'TX.OK' } : { type: 'TX.ERROR', error });
  }

  /** From within an action: delivered when the chart is done with the event that it handles now. */
  #event(event: AdvertiserEvent): void {
    queueMicrotask(() => {
      this.#actor.send(event);
    });
  }

  state(): CarpState {
    return this.#actor.getSnapshot().context.carp;
  }

  status(): AddressStatus {
    const { runtime, driver } = this.#options;
    const simulated = driver.kind === 'simulated';
    const kinds = this.#voices.kinds().join(' and ');
    const { settings } = this.#set;
    const now = runtime.clock.now();
    // Receivers have the clock of this process, which stands still while the machine sleeps.
    const ahead = now - performance.now();
    return addressStatus({
      settings,
      snapshot: this.#actor.getSnapshot(),
      now,
      since: this.#lastChange?.at ?? runtime.startedAt,
      lastChange: this.#lastChange,
      carriers: [...byCarrier(settings.addresses, settings.interface, driver.carrier).keys()],
      transport: `${kinds}${simulated ? ', address simulated' : ''}`,
      peers: this.#voices.peers().map((peer) => ({ ...peer, at: peer.at + ahead })),
      counters: {
        ...this.#voices.counters(),
        ...this.#totals,
        'duplicate-address': this.#herald.duplicates,
      },
      waitsFor: this.#change.waitsFor,
    });
  }

  /** Why this node cannot lead, or null when it can. */
  get unfit(): string | null {
    return this.#unfit;
  }

  /** An order of its sync group. */
  obey(event: Extract<AdvertiserEvent, { type: `SYNC.${string}` | `FAULT${string}` }>): void {
    this.#actor.send(event);
  }

  eligible(may: boolean): void {
    if (may === this.#eligible) return;
    this.#eligible = may;
    this.#actor.send({ type: may ? 'GROUP.ELIGIBLE' : 'GROUP.HOLD' });
  }

  clearHold(): void {
    this.#actor.send({ type: 'HOLD.CLEAR' });
  }

  /** The event loop stood still: what its timers say is doubted. */
  stalled(ms: number): void {
    this.#actor.send({ type: 'LOOP.STALL', ms });
  }

  /** The group is primary here: an advert of somebody else does not take its address away for good. */
  reassert(): void {
    const now = this.#options.runtime.clock.now();
    if (this.state() === 'MASTER' || now - this.#reassertedAt < REASSERT_MS) return;
    this.#reassertedAt = now;
    this.#actor.send({ type: 'GROUP.PROMOTED' });
  }

  async raise(): Promise<void> {
    this.#actor.send({ type: 'GROUP.PROMOTED' });
    await reach(
      this.#actor,
      `${this.#options.group}'s address going up`,
      (s) => s.matches({ MASTER: { address: 'serving' } }),
      ADDRESS_MS,
    );
  }

  /** The address is gone when this resolves; adverts go on until `released`, unless there is a rival. */
  async lower(rival: boolean): Promise<void> {
    if (rival) this.#eligible = false;
    this.#actor.send({ type: 'GROUP.DEMOTING', rival });
    await reach(
      this.#actor,
      `${this.#options.group}'s address going down`,
      (s) => !s.context.serving && !s.context.addressMayBeUp,
      ADDRESS_MS,
    );
  }

  released(failed: string | null): void {
    this.#actor.send(
      failed === null ? { type: 'GROUP.RELEASED' } : { type: 'GROUP.DEMOTED', reason: failed },
    );
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await this.#fitness?.close();
    this.#change.close();
    this.#actor.send({ type: 'ADMIN.STOP' });
    await reach(
      this.#actor,
      `${this.#options.group}'s advertiser stopping`,
      (s) => s.matches('INIT'),
      ADDRESS_MS,
    ).catch((error: unknown) => {
      this.#options.runtime.log('warn', describeError(error));
    });
    this.#actor.stop();
    this.#herald.stop();
    this.#voices.close();
  }
}

/** Random as FreeBSD's; where counters must grow over restarts too, by the clock. */
function firstCounter({ counter }: AddressSettings, runtime: Runtime): bigint {
  return counter === 'strict' ? BigInt(Date.now()) << 20n : BigInt(`0x${runtime.randomId()}`);
}

/** What is on the interface, and how it looks there. */
function listOf({ settings }: AddressSet): string {
  return JSON.stringify([settings.addresses, settings.options]);
}
