/** Channels on loopback addresses of their own, with every callback recorded and waitable. */
import type { PeerAddress } from '../../../src/model/settings.ts';
import { createPeerChannel } from '../../../src/net/peer-channel.ts';
import type { PeerChannel, PeerChannelOptions } from '../../../src/net/peer-channel-types.ts';
import type { HeartbeatBody, PeerHeartbeat } from '../../../src/protocol/peer-message.ts';
import { freeTcpPort } from '../../support/free-ports.ts';

export const SECRET = Buffer.from('a secret of more than sixteen bytes');
export const HEARTBEAT_MS = 20;
export const BODY: HeartbeatBody = {
  groups: [
    {
      name: 'storage',
      primary: true,
      changing: false,
      healthy: true,
      epoch: { number: 3, id: '00112233445566aa' },
      virgin: false,
      candidate: true,
      hold: null,
      addressSet: null,
    },
  ],
  resources: [],
};

export type Recorded =
  | { kind: 'heard'; at: number; heartbeat: PeerHeartbeat | null }
  | { kind: 'alive'; at: number }
  | { kind: 'boot'; boot: string }
  | { kind: 'up' }
  | { kind: 'down'; reason: string }
  | { kind: 'goodbye'; at: number }
  | { kind: 'death'; at: number }
  | { kind: 'log'; level: string; message: string };

/** Everything that a channel said, in order; waits for what has not been said yet. */
export class Recorder {
  readonly all: Recorded[] = [];
  readonly #waiting = new Set<() => void>();

  add(event: Recorded): void {
    this.all.push(event);
    for (const look of [...this.#waiting]) look();
  }

  of<Kind extends Recorded['kind']>(kind: Kind): Extract<Recorded, { kind: Kind }>[] {
    return this.all.filter((event): event is Extract<Recorded, { kind: Kind }> => event.kind === kind);
  }

  /** The first such event from now on, or since `from` events. */
  next<Kind extends Recorded['kind']>(
    kind: Kind,
    wanted: (event: Extract<Recorded, { kind: Kind }>) => boolean = () => true,
    from = this.all.length,
  ): Promise<Extract<Recorded, { kind: Kind }>> {
    return new Promise((resolve) => {
      const look = (): void => {
        for (const event of this.all.slice(from)) {
          if (event.kind !== kind || !wanted(event as Extract<Recorded, { kind: Kind }>)) continue;
          this.#waiting.delete(look);
          resolve(event as Extract<Recorded, { kind: Kind }>);
          return;
        }
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** As next(), or any time before. */
  some<Kind extends Recorded['kind']>(
    kind: Kind,
    wanted?: (event: Extract<Recorded, { kind: Kind }>) => boolean,
  ): Promise<Extract<Recorded, { kind: Kind }>> {
    return this.next(kind, wanted, 0);
  }
}

export interface TestChannel {
  readonly channel: PeerChannel;
  readonly heard: Recorder;
}

export function record(heard: Recorder): Pick<PeerChannelOptions, 'callbacks' | 'log'> {
  return {
    log: (level, message) => heard.add({ kind: 'log', level, message }),
    callbacks: {
      onHeard: (at, heartbeat) => heard.add({ kind: 'heard', at, heartbeat }),
      onAlive: (at) => heard.add({ kind: 'alive', at }),
      onBoot: (boot) => heard.add({ kind: 'boot', boot }),
      onUp: () => heard.add({ kind: 'up' }),
      onDown: (reason) => heard.add({ kind: 'down', reason }),
      onGoodbye: (at) => heard.add({ kind: 'goodbye', at }),
      onCertainDeath: (at) => heard.add({ kind: 'death', at }),
    },
  };
}

const open = new Set<PeerChannel>();

/** A channel that closeAll() closes. `hast1` unless told otherwise; not started. */
export function makeChannel(
  listen: PeerAddress,
  addresses: readonly PeerAddress[],
  options: Partial<PeerChannelOptions> = {},
): TestChannel {
  const heard = new Recorder();
  const channel = createPeerChannel({
    self: 'hast1',
    peer: 'hast2',
    boot: '1111111111111111',
    addresses,
    listen: [listen],
    secret: SECRET,
    insecure: false,
    clock: performance,
    heartbeatMs: HEARTBEAT_MS,
    composeHeartbeat: () => BODY,
    ...record(heard),
    ...options,
  });
  open.add(channel);
  return { channel, heard };
}

export const AS_HAST2 = { self: 'hast2', peer: 'hast1', boot: '2222222222222222' } as const;

export async function closeAll(): Promise<void> {
  await Promise.all([...open].map((channel) => channel.close()));
  open.clear();
}

/** An address of this machine on which nothing listens. */
export async function freeAddress(host: string): Promise<PeerAddress> {
  return { host, port: await freeTcpPort(host) };
}

/** Both started and connected in both directions. */
export async function connectedPair(
  first: Partial<PeerChannelOptions> = {},
  second: Partial<PeerChannelOptions> = {},
): Promise<{ one: TestChannel; two: TestChannel; at1: PeerAddress; at2: PeerAddress }> {
  const [at1, at2] = await Promise.all([freeAddress('127.0.0.11'), freeAddress('127.0.0.12')]);
  const one = makeChannel(at1, [at2], first);
  const two = makeChannel(at2, [at1], { ...AS_HAST2, ...second });
  await Promise.all([one.channel.start(), two.channel.start()]);
  await Promise.all([one.heard.some('alive'), two.heard.some('alive')]);
  return { one, two, at1, at2 };
}
