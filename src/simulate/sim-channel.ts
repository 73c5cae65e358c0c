/**
 * The peer channel between two simulated daemons: their heartbeats, requests and deaths, on the virtual clock.
 * It speaks the shipped messages and tells what the shipped channel tells; there are no sockets, no TLS, no frames.
 */
import { HastateError, NetError } from '../model/errors.ts';
import type { PeerChannel, PeerChannelOptions, PeerRequestHandler } from '../net/peer-channel-types.ts';
import type { PeerHeartbeat, PeerMethod } from '../protocol/peer-message.ts';
import type { SimClock, SimRandom } from './sim-clock.ts';

const LATENCY_MS = 1;
/** Missed heartbeats after which a connection counts as gone. */
const MISSED_BEATS = 5;
/** From the end of a connection to the refusal of the next one. */
const REFUSED_AFTER_MS = 3;

/** What lies between the two ends. */
export interface Wire {
  readonly clock: SimClock;
  readonly random: SimRandom;
  /** Nothing passes now. */
  readonly cut: () => boolean;
}

type Params = Readonly<Record<string, unknown>>;

export class SimChannel implements PeerChannel {
  readonly boot: string;
  readonly #options: PeerChannelOptions;
  readonly #wire: Wire;
  readonly #other: () => SimChannel | null;
  #handler: PeerRequestHandler | null = null;
  #open = false;
  #up = false;
  #seq = 0;
  #heardAt = -Infinity;
  #echo: PeerHeartbeat['echo'] = null;

  constructor(options: PeerChannelOptions, wire: Wire, other: () => SimChannel | null) {
    this.#options = options;
    this.#wire = wire;
    this.#other = other;
    this.boot = options.boot;
  }

  start(): Promise<void> {
    this.#open = true;
    this.#beat();
    return Promise.resolve();
  }

  #beat(): void {
    if (!this.#open) return;
    const now = this.#wire.clock.now();
    if (this.#up && now - this.#heardAt > MISSED_BEATS * this.#options.heartbeatMs)
      this.#down('it is silent');
    const heartbeat: PeerHeartbeat = structuredClone({
      ...this.#options.composeHeartbeat(),
      ...{ type: 'heartbeat' as const, seq: this.#seq++, sentAt: now, echo: this.#echo },
    });
    this.#carry((other) => other.#take(heartbeat, this.boot));
    this.#wire.clock.after(this.#options.heartbeatMs, () => this.#beat());
  }

  /** Arrives at the other end unless one of them is gone by then or nothing passes. */
  #carry(deliver: (other: SimChannel) => void): void {
    const { clock, random, cut } = this.#wire;
    clock.after(LATENCY_MS * (0.5 + random.next()), () => {
      const other = this.#other();
      if (this.#open && other !== null && other.#open && !cut()) deliver(other);
    });
  }

  #take(heartbeat: PeerHeartbeat, boot: string): void {
    const { callbacks } = this.#options;
    if (boot !== this.#echo?.boot) callbacks.onBoot?.(boot);
    const now = this.#wire.clock.now();
    this.#echo = { boot, at: heartbeat.sentAt };
    this.#heardAt = now;
    if (!this.#up) {
      this.#up = true;
      callbacks.onUp?.();
    }
    callbacks.onHeard?.(now, heartbeat);
    if (heartbeat.echo?.boot === this.boot) callbacks.onAlive?.(heartbeat.echo.at);
  }

  #down(reason: string): void {
    if (!this.#up) return;
    this.#up = false;
    this.#options.callbacks.onDown?.(reason);
  }

  /** The process of the other end died, and its kernel says so. */
  peerDied(): void {
    if (!this.#open || !this.#up || this.#wire.cut()) return;
    const at = this.#wire.clock.now();
    const boot = this.#echo?.boot;
    this.#down('connection reset by peer');
    this.#wire.clock.after(REFUSED_AFTER_MS, () => {
      if (this.#open && this.#heardAt <= at && this.#echo?.boot === boot && !this.#wire.cut())
        this.#options.callbacks.onCertainDeath?.(at);
    });
  }

  /** The process ends without a word. */
  vanish(): void {
    this.#open = this.#up = false;
  }

  request(method: PeerMethod, params: Params, timeoutMs: number): Promise<unknown> {
    if (!this.#up) return Promise.reject(new NetError('peer-not-connected', 'the peer channel is down'));
    return new Promise((resolve, reject) => {
      const cancel = this.#wire.clock.after(timeoutMs, () =>
        reject(new NetError('peer-timeout', `no answer to ${method} within ${timeoutMs} ms`)),
      );
      this.#carry((other) => {
        other.#answer(method, structuredClone(params)).then(
          (result) =>
            other.#carry(() => {
              cancel();
              resolve(structuredClone(result));
            }),
          (error: unknown) =>
            other.#carry(() => {
              cancel();
              const text = error instanceof HastateError ? error.message : String(error);
              reject(new NetError('peer-refused', text, { cause: error }));
            }),
        );
      });
    });
  }

  #answer(method: PeerMethod, params: Params): Promise<unknown> {
    return this.#handler?.(method, params) ?? Promise.reject(new NetError('peer-refused', 'not ready'));
  }

  onRequest(handler: PeerRequestHandler): void {
    this.#handler = handler;
  }

  /** Nobody listens in on a simulation. */
  rekey(): void {
    return;
  }

  status(): ReturnType<PeerChannel['status']> {
    const boot = this.#echo?.boot ?? null;
    return { up: this.#up, connections: this.#up ? 1 : 0, boot, security: 'simulated', refused: {} };
  }

  close(): Promise<void> {
    this.#carry((other) => other.#options.callbacks.onGoodbye?.(this.#wire.clock.now()));
    this.vanish();
    return Promise.resolve();
  }
}
