/** One shared address: its advertiser chart over a transport of each family, and the driver that moves it. */
import { type Actor, fromPromise } from 'xstate';

import { advertiserMachine, type AdvertiserEvent, type AdvertToSend } from '../../../machines/advertiser.ts';
import type { StateChange } from '../../../machines/advertiser-context.ts';
import type { Announcement } from '../../model/election.ts';
import { describeError } from '../../model/errors.ts';
import type { CarpState } from '../../model/roles.ts';
import { ownFault } from '../../model/sync-group.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { removeLeftovers } from '../../net/addresses.ts';
import type { ReceivedAdvert } from '../../net/advert-receiver.ts';
import type { AdvertTransport } from '../../net/advert-transport.ts';
import { byCarrier, createAnnouncer, type Announcer } from '../../net/announcer.ts';
import { interfaceAddresses } from '../../net/interfaces.ts';
import type { AddressStatus } from '../../protocol/control.ts';
import { addressOf } from '../../protocol/ip-address.ts';
import type { Runtime } from '../runtime.ts';
import { reach, runChart } from './actors.ts';
import { createSpeaker, type AdvertSpeaker } from './advert-speaker.ts';
import { type AdvertiserOptions, fitnessOf, openTransports } from './advert-transports.ts';
import type { Fitness } from './fitness.ts';
import { addressStatus } from './address-status.ts';
import type { AddressService } from './group-services.ts';

const ADDRESS_MS = 10_000;
const REASSERT_MS = 1000;

export async function startAdvertiser(options: AdvertiserOptions): Promise<Advertiser> {
  const { runtime, settings } = options;
  const transports = await openTransports(options);
  const why = transports.find((transport) => transport.why !== undefined)?.why;
  if (why !== undefined)
    runtime.warnings.add(`adverts of ${options.group} go by UDP, which only hastate nodes hear: ${why}`);
  for (const { note } of transports)
    if (note !== undefined) runtime.warnings.add(`adverts of ${options.group}: ${note}`);
  for (const cidr of await removeLeftovers(options.driver, settings.addresses, settings.interface)) {
    runtime.journal.add({
      kind: 'address.leftover',
      level: 'warn',
      group: options.group,
      message: `${options.group}: an earlier life left ${cidr} on ${settings.interface}; removed`,
    });
  }
  const fitness = await fitnessOf(options, transports);
  return new Advertiser(options, transports, fitness);
}

export class Advertiser implements AddressService {
  readonly #options: AdvertiserOptions;
  readonly #speakers: readonly AdvertSpeaker[];
  readonly #actor: Actor<typeof advertiserMachine>;
  readonly #announcer: Announcer;
  readonly #fitness: Fitness | null;
  #unfit: string | null = null;
  #eligible = false;
  #counter: bigint;
  #lastSentAt: number | null = null;
  /** Valid adverts so far: garbage must not keep a dead master alive. */
  #accepted = 0;
  #lastChange: (StateChange & { readonly at: number; readonly time: string }) | null = null;
  #reassertedAt = Number.NEGATIVE_INFINITY;
  #closing = false;

  constructor(options: AdvertiserOptions, transports: readonly AdvertTransport[], fitness: Fitness | null) {
    const { runtime, settings } = options;
    this.#options = options;
    this.#announcer = createAnnouncer({
      addressesOn: byCarrier(settings.addresses, settings.interface, options.driver.carrier),
      log: (level, message) => runtime.log(level, `${options.group}: ${message}`),
    });
    this.#fitness = fitness;
    this.#counter = firstCounter(settings, runtime);
    const shared = new Set(settings.addresses.map(addressOf));
    const byUdp = transports.some(({ kind }) => kind === 'udp');
    const bound = byUdp ? runtime.settings.peerListen.map(({ host }) => host) : [];
    const ownAddresses = (): ReadonlySet<string> =>
      new Set([
        ...interfaceAddresses(settings.interface).filter((address) => !shared.has(address)),
        ...bound,
      ]);
    this.#actor = runChart(runtime, {
      id: `advertiser.${options.group}`,
      name: 'advertiser',
      machine: this.#bound(),
      input: {
        election: options.election,
        preempt: settings.preempt,
        preemptDelayMs: settings.preemptDelayMs,
        selfAddresses: transports.flatMap((transport) => transport.source() ?? []),
        linkUpDelayMs: settings.linkUpDelayMs,
        linkDownDelayMs: settings.linkDownDelayMs,
        minBackupMs: settings.minBackupMs,
        minMasterMs: settings.minMasterMs,
        flapBudget: settings.flap.transitions,
        flapWindowMs: settings.flap.windowMs,
        flapHoldMs: settings.flap.holdMs,
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
    this.#speakers = transports.map((transport) =>
      createSpeaker({
        settings,
        election: options.election,
        key: options.key,
        transport,
        nextCounter: () => (this.#counter = BigInt.asUintN(64, this.#counter + 1n)),
        ownAddresses,
        log: runtime.log,
        heard: (advert) => this.#heard(advert),
      }),
    );
    fitness?.start((event) => this.#actor.send(event));
    this.#actor.send({ type: 'ADMIN.START' });
  }

  #heard({ says, source }: ReceivedAdvert): void {
    this.#accepted += 1;
    if (this.#isFromPeer(source)) this.#options.heard();
    this.#actor.send({ type: 'RX', says, source, at: this.#options.runtime.clock.now() });
  }

  /** A sensor for the election takes any advert; the word of the peer is one that others cannot send. */
  #isFromPeer(source: string): boolean {
    const { settings, key, runtime } = this.#options;
    if (settings.protocol === 'carp' && key.length > 0) return true;
    return runtime.settings.peer?.addresses.some(({ host }) => host === source) === true;
  }

  #bound() {
    const { runtime, settings, driver, group } = this.#options;
    return advertiserMachine.provide({
      actors: {
        drainAdverts: fromPromise(async () => {
          const before = this.#accepted;
          await Promise.all(this.#speakers.map(({ transport }) => transport.drain()));
          return { heard: this.#accepted > before };
        }),
        addAddresses: fromPromise(async () => {
          for (const cidr of settings.addresses) await driver.add(cidr, settings.interface);
          return undefined;
        }),
        removeAddresses: fromPromise(async () => {
          this.#announcer.stop();
          for (const cidr of settings.addresses) await driver.remove(cidr, settings.interface);
          return undefined;
        }),
      },
      actions: {
        sendAdvert: (_, advert) => {
          this.#send(advert);
        },
        sendBowOut: (_, { says }) => {
          this.#send({ says, gapLimitMs: null });
        },
        announceAddresses: () => {
          if (driver.kind !== 'simulated') this.#announcer.announce();
        },
        notifyState: (_, change) => {
          const { from, to, reason } = change;
          this.#lastChange = { ...change, at: runtime.clock.now(), time: new Date().toISOString() };
          // After the chart is in its new state.
          queueMicrotask(() => this.#options.turned(from, to));
          runtime.journal.add({
            kind: 'address.carp',
            level: 'info',
            group,
            message: `${group}: ${idName(settings)} ${settings.vhid} ${from} -> ${to} (${reason})`,
          });
        },
        notifyFlapping: (_, { flaps, holdMs }) => {
          runtime.journal.add({
            kind: 'address.flapping',
            level: 'error',
            group,
            message: `${group}: ${flaps} elections in ${settings.flap.windowMs / 1000} s are too many: this node stays BACKUP for ${holdMs / 1000} s; look for lost adverts or two nodes with one set of settings`,
          });
        },
        notifyAddress: (_, { change, error }) => {
          const failed = error !== null;
          runtime.journal.add({
            kind: `address.${change}`,
            level: failed ? 'error' : 'info',
            group,
            message: `${group}: ${settings.addresses.join(', ')} ${change} on ${settings.interface}${driver.kind === 'simulated' ? ' (simulated)' : ''}${failed ? `: ${error}; it is tried again` : ''}`,
          });
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
    const errors = this.#say(says);
    const [error] = errors;
    // While one family is heard the other node knows of us.
    if (error === undefined || errors.length < this.#speakers.length) this.#event({ type: 'TX.OK' });
    else this.#event({ type: 'TX.ERROR', error });
  }

  #say(says: Announcement): string[] {
    return this.#speakers.flatMap((speaker) => speaker.say(says) ?? []);
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
    const { runtime, settings, driver } = this.#options;
    const simulated = driver.kind === 'simulated';
    const kinds = [...new Set(this.#speakers.map(({ transport }) => transport.kind))].join(' and ');
    const now = runtime.clock.now();
    // Receivers have the clock of this process, which stands still while the machine sleeps.
    const ahead = now - performance.now();
    return addressStatus({
      settings,
      snapshot: this.#actor.getSnapshot(),
      now,
      since: this.#lastChange?.at ?? runtime.startedAt,
      lastChange: this.#lastChange,
      transport: `${kinds}${simulated ? ', address simulated' : ''}`,
      peers: this.#speakers
        .flatMap((speaker) => speaker.peers())
        .map((peer) => ({ ...peer, at: peer.at + ahead })),
      counters: this.counters(),
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

  /** The address is gone when this resolves; adverts go on until `released`. */
  async lower(): Promise<void> {
    this.#actor.send({ type: 'GROUP.DEMOTING' });
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

  counters(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const speaker of this.#speakers) {
      for (const [name, count] of Object.entries(speaker.counters())) sum[name] = (sum[name] ?? 0) + count;
    }
    return sum;
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await this.#fitness?.close();
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
    this.#announcer.stop();
    for (const { transport } of this.#speakers) transport.close();
  }
}

/** Random as FreeBSD's; where counters must grow over restarts too, by the clock. */
function firstCounter({ counter }: AddressSettings, runtime: Runtime): bigint {
  return counter === 'strict' ? BigInt(Date.now()) << 20n : BigInt(`0x${runtime.randomId()}`);
}

function idName({ protocol }: AddressSettings): 'vhid' | 'vrid' {
  return protocol === 'vrrp2' || protocol === 'vrrp3' ? 'vrid' : 'vhid';
}
