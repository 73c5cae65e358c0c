/**
 * Everything that one interface hears and says as protocol 112 in one address family: one receiving socket, one
 * sending socket for each protocol, shared by all vhids and vrids. The last user to leave closes them.
 */
import { describeError, NetError } from '../model/errors.ts';
import { createAdvertGate } from './advert-gate.ts';
import { DropCounters } from './drop-counters.ts';
import { interfaceAddresses, interfaceIndex } from './interfaces.ts';
import type { NetLog } from './log.ts';
import { openRawPort } from './raw-open.ts';
import { ADVERT_GROUP, setReceiving, setSending, setSource } from './raw-options.ts';
import type { AdvertProtocol, AdvertSocketPlace } from './raw-options.ts';
import { refusedRawSocket } from './raw-port.ts';
import type { AddressFamily, RawDatagram, RawPort } from './raw-port.ts';

export interface SegmentUser {
  /** vhid or vrid; null = every one. */
  readonly id: number | null;
  /** Addresses that move, without prefix length: adverts never leave from them. */
  readonly shared: readonly string[];
  /** Must not throw. */
  readonly receive: (datagram: RawDatagram, at: number) => void;
}

/** The shortest message: a VRRP header. */
const LEAST_BYTES = 8;
/** How often it is looked at whether the interface is still the same one. */
const SAME_MS = 1000;
/** No interface has this number: the next look opens again. */
const NO_INTERFACE = -1;
/** The list of own addresses costs about 0.1 ms. */
const SOURCE_MS = 1000;

const segments = new Map<string, RawSegment>();

/**
 * Joins the segment, and opens it for the first. Call `leave` once.
 * @throws NetError `raw-socket-missing`, `raw-socket-refused`, `interface-missing`
 */
export function joinSegment(
  iface: string,
  family: AddressFamily,
  log: NetLog,
  user: SegmentUser,
): RawSegment {
  const key = `${iface} ${family}`;
  const segment = segments.get(key) ?? new RawSegment(iface, family, log, () => segments.delete(key));
  segments.set(key, segment);
  segment.join(user);
  return segment;
}

export class RawSegment {
  readonly interface: string;
  readonly family: AddressFamily;
  readonly #drops: DropCounters;
  readonly #forget: () => void;
  readonly #gate = createAdvertGate();
  readonly #users = new Set<SegmentUser>();
  readonly #senders = new Map<AdvertProtocol, RawPort>();
  readonly #log: NetLog;
  readonly #watch: NodeJS.Timeout;
  #receiver: RawPort;
  #interfaceIndex: number;
  #received = 0;
  #source: string | null = null;
  #sourceAt = Number.NEGATIVE_INFINITY;

  constructor(iface: string, family: AddressFamily, log: NetLog, forget: () => void) {
    this.interface = iface;
    this.family = family;
    this.#forget = forget;
    this.#interfaceIndex = interfaceIndex(iface);
    this.#drops = new DropCounters(`adverts on ${iface}`, log);
    this.#log = log;
    this.#receiver = this.#openReceiver();
    this.#watch = setInterval(() => this.#followInterface(), SAME_MS);
  }

  #openReceiver(): RawPort {
    return this.#open((datagram) => this.#receive(datagram), setReceiving);
  }

  /** Sockets stay with the interface that they were opened on, also when it is gone and another has its name. */
  #followInterface(): void {
    try {
      const index = interfaceIndex(this.interface);
      if (index === this.#interfaceIndex) return;
      this.#interfaceIndex = index;
      this.#sourceAt = Number.NEGATIVE_INFINITY;
      const receiver = this.#openReceiver();
      this.#closeSockets();
      this.#receiver = receiver;
      this.#log('info', `adverts on ${this.interface}: it is a new interface, its sockets are opened again`);
    } catch (error) {
      // While it is not there its link is down, which is told by whoever watches that.
      if (error instanceof NetError && error.code === 'interface-missing') return;
      this.#interfaceIndex = NO_INTERFACE;
      this.#drops.drop('reopen', `its sockets are not opened again: ${describeError(error)}`);
    }
  }

  #closeSockets(): void {
    this.#receiver.close();
    for (const sender of this.#senders.values()) sender.close();
    this.#senders.clear();
  }

  join(user: SegmentUser): void {
    this.#users.add(user);
    this.#sourceAt = Number.NEGATIVE_INFINITY;
  }

  leave(user: SegmentUser): void {
    if (!this.#users.delete(user) || this.#users.size > 0) return;
    this.#forget();
    clearInterval(this.#watch);
    this.#closeSockets();
  }

  get how(): RawPort['how'] {
    return this.#receiver.how;
  }

  /** Datagrams so far, of all ids. */
  get received(): number {
    return this.#received;
  }

  /** Own address that adverts leave from; null while the interface has none. */
  source(): string | null {
    const now = performance.now();
    if (now - this.#sourceAt < SOURCE_MS) return this.#source;
    this.#sourceAt = now;
    const found = this.#findSource();
    if (found !== this.#source) {
      this.#source = found;
      for (const sender of this.#senders.values()) setSource(sender, this.#place());
    }
    return found;
  }

  /** @returns the error's text, or null. Opens the sending socket of the protocol when it is the first */
  send(protocol: AdvertProtocol, packet: Buffer, to: string): string | null {
    try {
      if (this.source() === null && to === ADVERT_GROUP[this.family]) return this.#nowhereFrom();
      return this.sender(protocol).send(packet, to);
    } catch (error) {
      return describeError(error);
    }
  }

  /** The sending socket of a protocol. @throws NetError `raw-socket-refused` */
  sender(protocol: AdvertProtocol): RawPort {
    const open = this.#senders.get(protocol);
    if (open !== undefined) return open;
    this.source();
    const sender = this.#open(null, (port, place) => setSending(port, place, protocol));
    this.#senders.set(protocol, sender);
    return sender;
  }

  vouch(source: string): void {
    this.#gate.vouch(source, performance.now());
  }

  /** Reads what waits. @see RawPort */
  read(): number | null {
    return this.#receiver.read();
  }

  counters(): Record<string, number> {
    return this.#drops.counts();
  }

  #nowhereFrom(): string {
    const kind = this.family === 4 ? 'IPv4' : 'link-local IPv6';
    return `${this.interface} has no ${kind} address to send from`;
  }

  #open(
    onDatagram: ((datagram: RawDatagram) => void) | null,
    setUp: (port: RawPort, place: AdvertSocketPlace) => void,
  ): RawPort {
    const place = this.#place();
    const port = openRawPort({
      family: this.family,
      interface: this.interface,
      interfaceIndex: place.interfaceIndex,
      onDatagram,
      onError: (error) => this.#drops.drop('socket-error', error.message),
    });
    try {
      setUp(port, place);
    } catch (cause) {
      port.close();
      throw cause instanceof NetError && cause.code !== 'socket-option'
        ? cause
        : refusedRawSocket(this.interface, cause);
    }
    return port;
  }

  #place(): AdvertSocketPlace {
    const source = this.#source ?? this.#findSource();
    return { family: this.family, interface: this.interface, interfaceIndex: this.#interfaceIndex, source };
  }

  #findSource(): string | null {
    const shared = new Set([...this.#users].flatMap((user) => user.shared));
    const own = interfaceAddresses(this.interface).filter((address) => !shared.has(address));
    const isOurs = (address: string): boolean =>
      this.family === 4 ? !address.includes(':') : address.startsWith('fe80:');
    return own.find(isOurs) ?? null;
  }

  #receive(datagram: RawDatagram): void {
    this.#received += 1;
    const { payload } = datagram;
    if (payload.length < LEAST_BYTES) {
      this.#drops.drop('short');
      return;
    }
    const id = payload.readUInt8(1);
    let judged = false;
    for (const user of this.#users) {
      if (user.id !== null && user.id !== id) continue;
      // Others of its kind may be on the segment, too: only those that name an id of ours cost more than this.
      const at = performance.now();
      if (!judged && !this.#gate.admit(datagram.source, at)) {
        this.#drops.drop('rate-limit', `too many from ${datagram.source}`, at);
        return;
      }
      judged = true;
      user.receive(datagram, at);
    }
    if (!judged) this.#drops.drop('unknown-id');
  }
}
