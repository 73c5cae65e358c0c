/**
 * All that one shared address says and hears. While the nodes change their set of addresses one after the other,
 * every advert is said twice, as the set before makes it and as the new one does, and both are understood: so
 * neither node, and nobody else, finds the MASTER silent.
 * @see carp-vrrp 1.2
 */
import type { AddressSet } from '../../model/address-set.ts';
import type { Announcement } from '../../model/election.ts';
import type { PeerSeen, ReceivedAdvert } from '../../net/advert-receiver.ts';
import type { AdvertTransport } from '../../net/advert-transport.ts';
import type { NetLog } from '../../net/log.ts';
import { addressOf } from '../../protocol/ip-address.ts';
import { type AdvertSpeaker, createSpeaker } from './advert-speaker.ts';

/** Speakers of one set of addresses, one of each family. */
interface Voice {
  readonly set: AddressSet;
  readonly speakers: readonly AdvertSpeaker[];
  isBefore: boolean;
}

export interface VoicesOptions {
  readonly set: AddressSet;
  readonly transports: readonly AdvertTransport[];
  /** Fetches the next counter of CARP; all share one. */
  readonly nextCounter: () => bigint;
  /** Addresses of this machine as they are now, with the shared ones that are up. */
  readonly ownAddresses: () => readonly string[];
  readonly log: NetLog;
  heard(advert: ReceivedAdvert): void;
}

export class AdvertVoices {
  readonly #options: VoicesOptions;
  #current: Voice;
  #before: Voice | null = null;
  #saysBoth = false;
  #heardNew = false;

  constructor(options: VoicesOptions) {
    this.#options = options;
    this.#current = this.#voice(options.set, options.transports);
  }

  #voice(set: AddressSet, transports: readonly AdvertTransport[]): Voice {
    const { nextCounter, log } = this.#options;
    const { settings, election } = set;
    const about = { settings, election, key: Buffer.from(set.key), nextCounter, log };
    const speakers = transports.map((transport) =>
      createSpeaker({
        ...about,
        transport,
        ownAddresses: () => this.#ownAddresses(),
        // Who came first hears first.
        taken: (packet) =>
          !voice.isBefore && this.#before?.speakers.some((speaker) => speaker.took(packet)) === true,
        heard: (advert) => {
          if (!voice.isBefore) this.#heardNew = true;
          this.#options.heard(advert);
        },
      }),
    );
    const voice: Voice = { set, speakers, isBefore: false };
    return voice;
  }

  #ownAddresses(): ReadonlySet<string> {
    const voices = this.#before === null ? [this.#current] : [this.#current, this.#before];
    const shared = new Set(voices.flatMap(({ set }) => set.settings.addresses.map(addressOf)));
    return new Set(this.#options.ownAddresses().filter((address) => !shared.has(address)));
  }

  /** Both sets are said and understood from now on. */
  change(set: AddressSet, transports: readonly AdvertTransport[]): void {
    // Of three the one in the middle goes: nobody is known to have it, and somebody still has the first.
    const goes = this.#saysBoth ? this.#current : this.#before;
    const stays = this.#saysBoth ? this.#before : this.#current;
    closeVoice(goes);
    this.#before = stays;
    if (stays !== null) stays.isBefore = true;
    for (const speaker of stays?.speakers ?? []) speaker.retire();
    this.#current = this.#voice(set, transports);
    this.#saysBoth = true;
    this.#heardNew = false;
  }

  /** The set before is only understood any more. */
  settle(): void {
    this.#saysBoth = false;
  }

  /** Nor that. */
  forget(): void {
    if (this.#saysBoth) return;
    closeVoice(this.#before);
    this.#before = null;
  }

  get saysBoth(): boolean {
    return this.#saysBoth;
  }

  /** Since the last change an advert came that only the new set makes. */
  get heardNew(): boolean {
    return this.#heardNew;
  }

  /** Source addresses of the adverts. */
  sources(): string[] {
    return this.#current.speakers.flatMap(({ transport }) => transport.source() ?? []);
  }

  /** @returns the error when not one family could say it, else null */
  say(says: Announcement): string | null {
    const errors = this.#current.speakers.map((speaker) => speaker.say(says));
    if (this.#saysBoth) for (const speaker of this.#before?.speakers ?? []) speaker.say(says);
    // While one family is heard the other node knows of us.
    return errors.includes(null) ? null : (errors[0] ?? null);
  }

  /** Delivers everything that waits. */
  async drain(): Promise<void> {
    await Promise.all(this.#all().map(({ transport }) => transport.drain()));
  }

  kinds(): string[] {
    return [...new Set(this.#current.speakers.map(({ transport }) => transport.kind))];
  }

  /** Each once, by what it said last. */
  peers(): PeerSeen[] {
    const all = this.#all()
      .flatMap((speaker) => speaker.peers())
      .sort((a, b) => a.at - b.at);
    return [...new Map(all.map((peer) => [peer.source, peer])).values()];
  }

  /** Of the set that holds, and what is still accepted of the one before. */
  counters(): Record<string, number> {
    const sum: Record<string, number> = {};
    const add = (counters: Readonly<Record<string, number>>): void => {
      for (const [name, count] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + count;
    };
    for (const speaker of this.#current.speakers) add(speaker.counters());
    for (const speaker of this.#before?.speakers ?? [])
      add({ accepted: speaker.counters()['accepted'] ?? 0 });
    return sum;
  }

  #all(): AdvertSpeaker[] {
    return [...this.#current.speakers, ...(this.#before?.speakers ?? [])];
  }

  close(): void {
    closeVoice(this.#before);
    closeVoice(this.#current);
  }
}

function closeVoice(voice: Voice | null): void {
  for (const { transport } of voice?.speakers ?? []) transport.close();
}
