/** The secondary's end of the data link as its node has it, over real sockets: a listener and an engine's entrance. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { MessageChannel } from 'node:worker_threads';
import { expect } from 'vitest';
import { dataConnector } from '../../../../src/daemon/engine/connector.ts';
import { DataListener } from '../../../../src/daemon/engine/data-listener.ts';
import { Entrance } from '../../../../src/daemon/engine/entrance.ts';
import { handOver } from '../../../../src/daemon/engine/hand-over.ts';
import type { Adoption } from '../../../../src/daemon/engine/worker-messages.ts';
import { encodeFrame } from '../../../../src/protocol/hast-message.ts';
import { nameOfWay } from '../../../../src/protocol/link-keys.ts';
import type { LinkAccess } from '../../../../src/protocol/link-keys.ts';
import type { ConnectionPort } from '../../../../src/replication/ports.ts';
import { freeTcpPort } from '../../../support/free-ports.ts';
import { TcpRelay } from '../../../support/tcp-relay.ts';
import { until } from './tcp-pair.ts';

export type Dup = ((fd: number) => number) | null;

export const FIRST = Buffer.concat(encodeFrame(2, [{ name: 'resource', type: 'string', value: 'disk1' }]));
const OURS = { resource: 'disk1', from: 'alpha', to: 'beta' };

/** More than any buffer on the way takes at once. */
export const BIG = Buffer.alloc(5_000_000, 'what is on the disk');

const open: { close(): unknown }[] = [];

/** Closed by closeOpen(), the latest first. */
export function keep(one: { close(): unknown }): void {
  open.push(one);
}

export async function closeOpen(): Promise<void> {
  for (const each of open.splice(0).reverse()) await each.close();
}

/** Node beta, secondary of disk1: what its engine would be told. */
export class Secondary {
  readonly adopted: { connection: ConnectionPort; head: Buffer }[] = [];
  readonly turnedAway: string[] = [];
  readonly refused: string[] = [];
  #port = 0;

  static async start(access: LinkAccess | null, dup: Dup = null): Promise<Secondary> {
    const made = new Secondary();
    const { port1, port2 } = new MessageChannel();
    const entrance = new Entrance({
      adopt: (connection, head) => {
        connection.onClose(() => undefined);
        made.adopted.push({ connection, head });
      },
      turnAway: (connection, why) => {
        made.turnedAway.push(why);
        connection?.send(...encodeFrame(2, [{ name: 'errmsg', type: 'string', value: why }]));
        connection?.close(why);
      },
    });
    port2.on('message', (message: Adoption) => entrance.take(message, access));
    made.#port = await freeTcpPort('127.0.0.1');
    const worker = {
      postMessage: (value: unknown, transfer?: readonly never[]) =>
        port1.postMessage(value, [...(transfer ?? [])]),
    };
    const listener = await DataListener.start({
      listen: [`tcp4://127.0.0.1:${made.#port}`],
      resources: () => [
        {
          name: 'disk1',
          remote: 'tcp4://127.0.0.1',
          way: nameOfWay(OURS),
          adopt: (connection) => handOver(connection, worker, dup),
        },
      ],
      onRefused: (_address, reason) => made.refused.push(reason),
    });
    keep({
      close: async () => {
        for (const { connection } of made.adopted) connection.close('the test is over');
        entrance.close();
        await listener.close();
        port1.close();
      },
    });
    return made;
  }

  get remote(): string {
    return `tcp4://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  async dial(access: LinkAccess | null, remote = this.remote): Promise<ConnectionPort> {
    const connection = await dataConnector(remote, null, access).connect(5000, new AbortController().signal);
    keep({ close: () => connection.close('the test is over') });
    return connection;
  }

  /** The right primary, whose bytes go through a relay. */
  async relayed(access: LinkAccess): Promise<{ relay: TcpRelay; near: ConnectionPort }> {
    const relay = await TcpRelay.start('127.0.0.1', { host: '127.0.0.1', port: this.#port });
    keep(relay);
    return { relay, near: await this.dial(access, `tcp4://127.0.0.1:${relay.port}`) };
  }

  async plain(): Promise<Socket> {
    const socket = connect(this.#port, '127.0.0.1');
    socket.on('error', () => undefined);
    keep({ close: () => socket.destroy() });
    await once(socket, 'connect');
    return socket;
  }

  /** The link with both ends, after its first frame. */
  async link(access: LinkAccess): Promise<{ near: ConnectionPort; far: ConnectionPort; head: Buffer }> {
    const near = await this.dial(access);
    near.send(FIRST);
    await until(() => this.adopted.length > 0);
    const [made] = this.adopted;
    if (made === undefined) throw new Error('nothing was adopted');
    return { near, far: made.connection, head: made.head };
  }
}

export function collected(connection: ConnectionPort): {
  readonly bytes: Buffer;
  readonly length: number;
  readonly ends: string[];
} {
  const chunks: Buffer[] = [];
  let length = 0;
  const ends: string[] = [];
  connection.onData((chunk) => {
    chunks.push(Buffer.from(chunk));
    length += chunk.length;
  });
  connection.onClose((reason) => ends.push(reason));
  return {
    ends,
    get length() {
      return length;
    },
    get bytes() {
      return Buffer.concat(chunks);
    },
  };
}

/** That an accepted connection has its first frame and carries what either end sends. */
export async function expectBothDirections(link: Awaited<ReturnType<Secondary['link']>>): Promise<void> {
  const { near, far, head } = link;
  expect(head.equals(FIRST)).toBe(true);
  const [up, down] = [collected(far), collected(near)];
  near.send(Buffer.from('head of a write '), BIG);
  far.send(BIG, Buffer.from(' and its end'));
  await until(() => up.length >= BIG.length + 16 && down.length >= BIG.length + 12);
  expect(up.bytes.equals(Buffer.concat([Buffer.from('head of a write '), BIG]))).toBe(true);
  expect(down.bytes.equals(Buffer.concat([BIG, Buffer.from(' and its end')]))).toBe(true);
}
