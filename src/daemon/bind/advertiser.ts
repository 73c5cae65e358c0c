/** One shared address: its advertiser chart over a transport, and the driver that moves it. */
import { type Actor, fromPromise } from 'xstate';

import { advertiserMachine, type AdvertiserEvent, type AdvertToSend } from '../../../machines/advertiser.ts';
import { describeError } from '../../model/errors.ts';
import type { CarpState } from '../../model/roles.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { removeLeftovers, type AddressDriver } from '../../net/addresses.ts';
import { openAdvertTransport, type AdvertTransport } from '../../net/advert-transport.ts';
import { announceAddresses } from '../../net/announce.ts';
import { createCarpReceiver, type CarpReceiver } from '../../net/carp-receiver.ts';
import { interfaceAddresses } from '../../net/interfaces.ts';
import { encodeCarp } from '../../protocol/carp.ts';
import { splitFamilies } from '../../protocol/ip-address.ts';
import type { Runtime } from '../runtime.ts';
import { reach, runChart } from './actors.ts';
import type { AddressService } from './group-services.ts';

const ADDRESS_MS = 10_000;
const REASSERT_MS = 1000;

export interface AdvertiserOptions {
  readonly runtime: Runtime;
  readonly group: string;
  readonly settings: AddressSettings;
  /** Content of the password file, without its line end. */
  readonly key: Buffer;
  readonly driver: AddressDriver;
  /** A valid advert of the peer was heard. */
  heard(): void;
}

export async function startAdvertiser(options: AdvertiserOptions): Promise<Advertiser> {
  const { runtime, settings } = options;
  const transport = await openAdvertTransport({
    transport: settings.transport,
    protocol: 'carp',
    id: settings.vhid,
    shared: settings.addresses,
    interface: settings.interface,
    peers: runtime.settings.peer?.addresses.map(({ host }) => host) ?? [],
    port: runtime.settings.advertPort,
    bind: runtime.settings.peerListen.map(({ host }) => host),
    log: runtime.log,
  });
  if (transport.why !== undefined)
    runtime.warnings.add(
      `adverts of ${options.group} go by UDP, which only hastate nodes hear: ${transport.why}`,
    );
  for (const cidr of await removeLeftovers(options.driver, settings.addresses, settings.interface)) {
    runtime.journal.add({
      kind: 'address.leftover',
      level: 'warn',
      group: options.group,
      message: `${options.group}: an earlier life left ${cidr} on ${settings.interface}; removed`,
    });
  }
  return new Advertiser(options, transport);
}

export class Advertiser implements AddressService {
  readonly #options: AdvertiserOptions;
  readonly #transport: AdvertTransport;
  readonly #receiver: CarpReceiver;
  readonly #actor: Actor<typeof advertiserMachine>;
  #eligible = false;
  #counter: bigint;
  #lastSentAt: number | null = null;
  /** Valid adverts so far: garbage must not keep a dead master alive. */
  #accepted = 0;
  #reassertedAt = Number.NEGATIVE_INFINITY;
  #closing = false;

  constructor(options: AdvertiserOptions, transport: AdvertTransport) {
    const { runtime, settings } = options;
    this.#options = options;
    this.#transport = transport;
    this.#counter = BigInt(`0x${runtime.randomId()}`);
    const shared = new Set(settings.addresses.map((cidr) => cidr.slice(0, cidr.indexOf('/'))));
    const bound = transport.kind === 'udp' ? runtime.settings.peerListen.map(({ host }) => host) : [];
    this.#receiver = createCarpReceiver({
      vhid: settings.vhid,
      key: options.key,
      addresses: settings.addresses,
      ownAddresses: () =>
        new Set([
          ...interfaceAddresses(settings.interface).filter((address) => !shared.has(address)),
          ...bound,
        ]),
      log: runtime.log,
    });
    this.#actor = runChart(runtime, {
      id: `advertiser.${options.group}`,
      name: 'advertiser',
      machine: this.#bound(),
      input: {
        vhid: settings.vhid,
        advbase: settings.advbase,
        advskew: settings.advskew,
        preempt: settings.preempt,
        mode: 'bsd',
        selfAddress: null,
        eligible: false,
        linkUp: true,
        seed: Number.parseInt(runtime.randomId().slice(0, 8), 16),
      },
      about: { group: options.group },
      describe: (snapshot) => snapshot.context.reason,
    });
    transport.onAdvert((packet, meta) => {
      const advert = this.#receiver.receive(packet, meta);
      if (advert === null) return;
      transport.vouch(advert.source);
      this.#accepted += 1;
      options.heard();
      const { advbase, advskew, demote, source } = advert;
      this.#actor.send({ type: 'RX', advbase, advskew, demote, source, at: runtime.clock.now() });
    });
    this.#actor.send({ type: 'ADMIN.START' });
  }

  #bound() {
    const { runtime, settings, driver, group } = this.#options;
    return advertiserMachine.provide({
      actors: {
        drainAdverts: fromPromise(async () => {
          const before = this.#accepted;
          await this.#transport.drain();
          return { heard: this.#accepted > before };
        }),
        addAddresses: fromPromise(async () => {
          for (const cidr of settings.addresses) await driver.add(cidr, settings.interface);
          return undefined;
        }),
        removeAddresses: fromPromise(async () => {
          for (const cidr of settings.addresses) await driver.remove(cidr, settings.interface);
          return undefined;
        }),
      },
      actions: {
        sendAdvert: (_, advert) => {
          this.#send(advert);
        },
        sendBowOut: () => {
          this.#send({ advbase: 255, advskew: 255, gapLimitMs: null });
        },
        announceAddresses: () => {
          if (driver.kind === 'simulated') return;
          announceAddresses(settings.interface, settings.addresses).catch((error: unknown) => {
            runtime.log(
              'warn',
              `${group}: announcing ${settings.addresses.join(', ')} failed: ${describeError(error)}`,
            );
          });
        },
        notifyState: (_, { from, to, reason }) => {
          runtime.journal.add({
            kind: 'address.carp',
            level: 'info',
            group,
            message: `${group}: vhid ${settings.vhid} ${from} -> ${to} (${reason})`,
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

  #send(advert: AdvertToSend): void {
    const { runtime, settings, key } = this.#options;
    const now = runtime.clock.now();
    const gap = this.#lastSentAt === null ? 0 : now - this.#lastSentAt;
    if (advert.gapLimitMs !== null && gap > advert.gapLimitMs) {
      this.#event({ type: 'LOOP.STALL', ms: gap });
      this.#lastSentAt = now;
      return;
    }
    this.#lastSentAt = now;
    this.#counter = (this.#counter + 1n) & 0xffffffffffffffffn;
    const packet = encodeCarp({
      vhid: settings.vhid,
      advskew: advert.advskew,
      advbase: advert.advbase,
      counter: this.#counter,
      key,
      ...splitFamilies(settings.addresses),
    });
    const error = this.#transport.send(packet);
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

  status(): { state: CarpState; up: boolean; transport: string } {
    const { context } = this.#actor.getSnapshot();
    const simulated = this.#options.driver.kind === 'simulated';
    return {
      state: context.carp,
      up: context.serving,
      transport: `${this.#transport.kind}${simulated ? ', address simulated' : ''}`,
    };
  }

  eligible(may: boolean): void {
    if (may === this.#eligible) return;
    this.#eligible = may;
    this.#actor.send({ type: may ? 'GROUP.ELIGIBLE' : 'GROUP.HOLD' });
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
    return { ...this.#transport.counters(), ...this.#receiver.counters() };
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
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
    this.#transport.close();
  }
}
