/** TCP connections between simulated nodes: ordered, delayed, cut at odd places, and breakable in both ways. */
import { NetError } from '../model/errors.ts';
import type { ConnectionPort } from '../replication/ports.ts';
import type { SimClock, SimRandom } from './sim-clock.ts';

/** What arrives together at most: a link that dies may do so in the middle of a large message. */
const SEGMENT_BYTES = 192 * 1024;

export class SimConnection implements ConnectionPort {
  readonly remoteAddress: string;
  peer: SimConnection | null = null;
  pendingBytes = 0;
  closed = false;
  /** This end reads no more: what is sent to it stays with the sender. */
  full = false;
  /** Bytes that this end has sent: for tests that look at the wire. */
  onSent: (bytes: Buffer) => void = () => undefined;
  readonly #net: SimNet;
  #onData: ((chunk: Buffer) => void) | null = null;
  #onClose: ((reason: string) => void) | null = null;
  #onDrain: (() => void) | null = null;
  #where: () => Buffer | number = () => Infinity;
  #inbox: Buffer[] = [];
  #ended: string | null = null;
  #paused = false;
  #arrivesAt = 0;
  #scheduled = false;

  constructor(net: SimNet, remoteAddress: string) {
    this.#net = net;
    this.remoteAddress = remoteAddress;
  }

  send(...parts: Buffer[]): number {
    if (this.closed) return this.pendingBytes;
    const bytes = Buffer.concat(parts);
    this.onSent(bytes);
    this.#net.onSent(this.remoteAddress, bytes);
    this.pendingBytes += bytes.length;
    for (let at = 0; at < bytes.length; at += SEGMENT_BYTES)
      this.#carrySegment(bytes.subarray(at, at + SEGMENT_BYTES));
    return this.pendingBytes;
  }

  onData(listener: (chunk: Buffer) => void): void {
    this.#onData = listener;
    this.#schedule();
  }
  onClose(listener: (reason: string) => void): void {
    this.#onClose = listener;
  }
  onDrain(listener: () => void): void {
    this.#onDrain = listener;
  }
  land(where: () => Buffer | number): void {
    this.#where = where;
  }
  pause(): void {
    this.#paused = true;
  }
  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  drain(): Promise<void> {
    this.#deliver();
    return Promise.resolve();
  }

  close(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.#inbox = [];
    this.#carry(() => this.peer?.end(`the peer closed: ${reason}`));
    const told = this.#onClose;
    this.#onClose = null;
    told?.(reason);
  }

  /** The other end is gone without a word; bytes that were under way arrive or not. */
  vanish(): void {
    this.closed = true;
    this.#inbox = [];
    this.#onData = this.#onClose = this.#onDrain = null;
  }

  /** RST. */
  reset(reason: string): void {
    this.end(reason);
  }

  arrived(bytes: Buffer): void {
    if (this.closed) return;
    this.#inbox.push(bytes);
    this.#schedule();
  }

  end(reason: string): void {
    if (this.closed) return;
    this.#ended = reason;
    this.#schedule();
  }

  #carrySegment(bytes: Buffer): void {
    this.#carry(() => {
      if (this.peer?.full === true) return;
      this.pendingBytes -= bytes.length;
      if (this.pendingBytes === 0 && !this.closed) this.#onDrain?.();
      this.peer?.arrived(bytes);
    }, bytes.length);
  }

  #carry(deliver: () => void, bytes = 0): void {
    const { clock, random, bytesPerMs } = this.#net;
    const first = clock.now() + this.#net.latencyMs * (0.5 + random.next());
    this.#arrivesAt = Math.max(this.#arrivesAt, first) + bytes / bytesPerMs;
    const blackhole = this.#net;
    clock.after(this.#arrivesAt - clock.now(), () => {
      if (!blackhole.silent && !blackhole.reaped(this)) deliver();
    });
  }

  #open(): boolean {
    return !this.closed;
  }

  /** What arrived lies in the socket for a moment before the process reads it. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#net.clock.after(this.#net.readDelayMs * this.#net.random.next(), () => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  /** As a socket is read: to where the reader wants it. */
  #read(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && this.#open();) {
      const where = this.#where();
      const most = typeof where === 'number' ? where : where.length;
      const part = bytes.subarray(at, at + Math.min(most, bytes.length));
      at += part.length;
      if (typeof where === 'number') this.#onData?.(part);
      else this.#onData?.(where.subarray(0, part.copy(where)));
    }
  }

  #deliver(): void {
    if (this.#paused || !this.#open()) return;
    while (this.#onData !== null && this.#inbox.length > 0) {
      const all = Buffer.concat(this.#inbox);
      this.#inbox = [];
      const cut = this.#net.random.chance(0.3) ? this.#net.random.below(all.length) : 0;
      for (const part of [all.subarray(0, cut), all.subarray(cut)]) this.#read(part);
    }
    if (this.#ended === null || !this.#open()) return;
    this.closed = true;
    const told = this.#onClose;
    this.#onClose = null;
    told?.(this.#ended);
  }
}

/** One network between two nodes. */
export class SimNet {
  readonly clock: SimClock;
  readonly random: SimRandom;
  latencyMs = 0.2;
  readDelayMs = 0.2;
  /** How much a connection carries. */
  bytesPerMs = Infinity;
  /** Packets vanish and nobody is told. */
  silent = false;
  /** Everything that is given to a connection, with the node it goes to: for tests that look at the wire. */
  onSent: (to: string, bytes: Buffer) => void = () => undefined;
  /** New connections are refused. */
  refusing = false;
  readonly #listeners = new Map<string, (connection: SimConnection) => void>();
  #pairs: [SimConnection, SimConnection][] = [];
  readonly #reaped = new Set<SimConnection>();

  constructor(clock: SimClock, random: SimRandom) {
    this.clock = clock;
    this.random = random;
  }

  listen(node: string, accept: ((connection: SimConnection) => void) | null): void {
    if (accept === null) this.#listeners.delete(node);
    else this.#listeners.set(node, accept);
  }

  reaped(connection: SimConnection): boolean {
    return this.#reaped.has(connection);
  }

  connect(from: string, to: string, timeoutMs: number, signal: AbortSignal): Promise<SimConnection> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => fail('aborted');
      const fail = (text: string): void => {
        signal.removeEventListener('abort', onAbort);
        reject(new NetError('connect', `cannot connect to ${to}: ${text}`));
      };
      if (signal.aborted) {
        fail('aborted');
        return;
      }
      signal.addEventListener('abort', onAbort, { once: true });
      const cancel = this.clock.after(timeoutMs, () => fail('timed out'));
      this.clock.after(this.latencyMs * 2, () => {
        if (this.silent || signal.aborted) return;
        cancel();
        const accept = this.#listeners.get(to);
        if (accept === undefined || this.refusing) {
          fail('refused');
          return;
        }
        const here = new SimConnection(this, to);
        const there = new SimConnection(this, from);
        here.peer = there;
        there.peer = here;
        this.#pairs = this.#pairs.filter(([a, b]) => !a.closed || !b.closed);
        this.#pairs.push([here, there]);
        accept(there);
        signal.removeEventListener('abort', onAbort);
        resolve(here);
      });
    });
  }

  /** Every connection is reset on both ends; what was under way is lost. */
  resetAll(): void {
    for (const [a, b] of this.#pairs) {
      this.#reaped.add(a).add(b);
      a.reset('reset');
      b.reset('reset');
    }
    this.#pairs = [];
  }

  /** Packets of the present connections vanish for good; new connections work. */
  loseAll(): void {
    for (const [a, b] of this.#pairs) this.#reaped.add(a).add(b);
    this.#pairs = [];
  }

  /** A node dies. `told`: its kernel is alive and resets its connections. */
  nodeDied(node: string, told: boolean): void {
    this.listen(node, null);
    for (const [a, b] of this.#pairs) {
      // `remoteAddress` of an end is the other node.
      const [dead, other] = a.remoteAddress === node ? [b, a] : [a, b];
      dead.vanish();
      if (told) this.clock.after(this.latencyMs * 2, () => other.reset('reset by peer'));
      else this.#reaped.add(dead);
    }
    this.#pairs = [];
  }
}
