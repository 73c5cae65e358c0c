/** The encrypted data link between a listener, an engine's entrance and a connector, over real sockets. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { dataConnector } from '../../../../src/daemon/engine/connector.ts';
import { DataListener } from '../../../../src/daemon/engine/data-listener.ts';
import { Entrance } from '../../../../src/daemon/engine/entrance.ts';
import { handOver } from '../../../../src/daemon/engine/hand-over.ts';
import { loadLibC } from '../../../../src/daemon/engine/native.ts';
import type { Adoption } from '../../../../src/daemon/engine/worker-messages.ts';
import { splitSecrets } from '../../../../src/model/secrets.ts';
import { pskClient } from '../../../../src/net/psk-tls.ts';
import { encodeFrame, FrameReader } from '../../../../src/protocol/hast-message.ts';
import { deriveLinkTls, nameOfWay } from '../../../../src/protocol/link-keys.ts';
import type { LinkTls } from '../../../../src/protocol/link-keys.ts';
import type { ConnectionPort } from '../../../../src/replication/ports.ts';
import { TcpRelay } from '../../../support/tcp-relay.ts';
import { until } from './tcp-pair.ts';

type Dup = ((fd: number) => number) | null;

const SECRET = 'a secret of some length';
const FIRST = Buffer.concat(encodeFrame(2, [{ name: 'resource', type: 'string', value: 'disk1' }]));
const BIG = Buffer.alloc(5_000_000, 'what is on the disk');
const OURS = { resource: 'disk1', from: 'alpha', to: 'beta' };
const ways: [string, Dup][] = [['relayed', null]];
const libc = loadLibC();
if (libc !== null) ways.push(['handed over as a descriptor', libc.dup]);

const keys = (self: string, peer: string, secret = SECRET, resource = 'disk1'): LinkTls =>
  deriveLinkTls(splitSecrets(Buffer.from(secret)), resource, self, peer);

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

/** Node beta, secondary of disk1: what its engine would be told. */
class Secondary {
  readonly adopted: { connection: ConnectionPort; head: Buffer }[] = [];
  readonly turnedAway: string[] = [];
  readonly refused: string[] = [];
  #port = 0;

  static async start(tls: LinkTls | null, dup: Dup = null): Promise<Secondary> {
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
    port2.on('message', (message: Adoption) => entrance.take(message, tls));
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    made.#port = (free.address() as AddressInfo).port;
    free.close();
    await once(free, 'close');
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
    open.push({
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

  async dial(tls: LinkTls | null, remote = this.remote): Promise<ConnectionPort> {
    const connection = await dataConnector(remote, null, tls).connect(5000, new AbortController().signal);
    open.push({ close: () => connection.close('the test is over') });
    return connection;
  }

  /** The right primary, whose bytes go through a relay. */
  async relayed(): Promise<{ relay: TcpRelay; near: ConnectionPort }> {
    const relay = await TcpRelay.start('127.0.0.1', { host: '127.0.0.1', port: this.#port });
    open.push(relay);
    return { relay, near: await this.dial(keys('alpha', 'beta'), `tcp4://127.0.0.1:${relay.port}`) };
  }

  async plain(): Promise<Socket> {
    const socket = connect(this.#port, '127.0.0.1');
    socket.on('error', () => undefined);
    open.push({ close: () => socket.destroy() });
    await once(socket, 'connect');
    return socket;
  }

  /** The link with both ends, after its first frame. */
  async link(): Promise<{ near: ConnectionPort; far: ConnectionPort; head: Buffer }> {
    const near = await this.dial(keys('alpha', 'beta'));
    near.send(FIRST);
    await until(() => this.adopted.length > 0);
    const [made] = this.adopted;
    if (made === undefined) throw new Error('nothing was adopted');
    return { near, far: made.connection, head: made.head };
  }
}

function collected(connection: ConnectionPort): {
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

describe.each(ways)('an encrypted connection that is %s', (_way, dup) => {
  it('has its first frame read, and carries both directions byte for byte', async () => {
    const { near, far, head } = await (await Secondary.start(keys('beta', 'alpha'), dup)).link();
    expect(head.equals(FIRST)).toBe(true);
    const [up, down] = [collected(far), collected(near)];
    near.send(Buffer.from('head of a write '), BIG);
    far.send(BIG, Buffer.from(' and its end'));
    await until(() => up.length >= BIG.length + 16 && down.length >= BIG.length + 12);
    expect(up.bytes.equals(Buffer.concat([Buffer.from('head of a write '), BIG]))).toBe(true);
    expect(down.bytes.equals(Buffer.concat([BIG, Buffer.from(' and its end')]))).toBe(true);
  });

  it('reads to where the primary wants it', async () => {
    const { near, far } = await (await Secondary.start(keys('beta', 'alpha'), dup)).link();
    const place = Buffer.alloc(BIG.length);
    let at = 0;
    near.land?.(() => place.subarray(at));
    near.onData((chunk) => (at += chunk.length));
    far.send(BIG.subarray(0, BIG.length - 1));
    await until(() => at === BIG.length - 1);
    // The first window was asked for before anybody said where.
    expect(place.subarray(300_000, at).equals(BIG.subarray(300_000, at))).toBe(true);
  });

  it('holds the sender back while nobody takes its data, and loses nothing', async () => {
    const { near, far } = await (await Secondary.start(keys('beta', 'alpha'), dup)).link();
    const [up, down] = [collected(far), collected(near)];
    far.pause();
    for (let n = 0; n < 6; n++) near.send(BIG);
    await until(() => near.pendingBytes > 0);
    const held = up.length;
    // What goes the other way shows that the connection had its time.
    far.send(BIG);
    await until(() => down.length === BIG.length);
    expect([up.length - held, near.pendingBytes > 5_000_000]).toEqual([0, true]);
    far.resume();
    await until(() => up.length === 6 * BIG.length);
  });

  it('is read to its end when the peer closes it behind its last byte', async () => {
    const { near, far } = await (await Secondary.start(keys('beta', 'alpha'), dup)).link();
    const up = collected(far);
    far.pause();
    near.send(Buffer.alloc(100_000));
    near.close('done');
    await far.drain();
    expect(up.length).toBe(100_000);
    await until(() => up.ends.length > 0);
    expect(up.ends).toEqual(['the peer closed the connection']);
  });
});

describe('a node with keys refuses', () => {
  it.each([
    ['another secret', keys('alpha', 'beta', 'another secret of some length'), /knows the secret/],
    ['a key of another resource', keys('alpha', 'beta', SECRET, 'disk2'), /not configured/],
    ['a key of another node', keys('gamma', 'beta'), /not configured/],
    ['its own key of the other direction', keys('beta', 'alpha'), /not configured/],
  ])('%s, and the primary says so', async (_what, tls, reason) => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    await expect(secondary.dial(tls)).rejects.toMatchObject({
      code: 'peer-refused',
      message: expect.stringMatching(reason) as unknown,
    });
    await until(() => secondary.refused.length + secondary.turnedAway.length > 0);
    expect([...secondary.refused, ...secondary.turnedAway]).toEqual([expect.stringMatching(reason)]);
    expect(secondary.adopted).toEqual([]);
  });

  it('a stolen key of another resource under the name of the right one', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    const { identity } = keys('alpha', 'beta').offered;
    const { psk } = keys('alpha', 'beta', SECRET, 'disk2').offered;
    const thief = { offered: { identity, psk }, accepted: [] };
    await expect(secondary.dial(thief)).rejects.toMatchObject({ code: 'peer-refused' });
    await until(() => secondary.turnedAway.length === 1);
    expect(secondary.adopted).toEqual([]);
  });

  it('plaintext, in words that a plain node understands', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    const socket = await secondary.plain();
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.write(FIRST);
    await once(socket, 'close');
    const [frame] = new FrameReader({ maxNvBytes: 4096, maxDataBytes: 0 }).push(Buffer.concat(chunks));
    expect(frame?.nv.string('errmsg')).toContain('does not encrypt the data link');
    expect(secondary.turnedAway).toHaveLength(1);
    expect(secondary.adopted).toEqual([]);
  });

  it('TLS 1.2 with the right key, and TLS without a key', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    const { identity, psk } = keys('alpha', 'beta').offered;
    for (const options of [
      { ...pskClient(psk, identity), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'PSK' },
      { rejectUnauthorized: false },
    ] as const) {
      const socket = connectTls({ port: secondary.port, host: '127.0.0.1', ...options });
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    expect(secondary.adopted).toEqual([]);
    expect(secondary.refused).toHaveLength(2);
  });

  it('what an eavesdropper recorded and says again', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    const { relay, near } = await secondary.relayed();
    near.send(FIRST);
    await until(() => secondary.adopted.length === 1);
    near.close('recorded');
    const again = await secondary.plain();
    again.resume();
    again.end(relay.asked);
    await once(again, 'close');
    expect(secondary.adopted).toHaveLength(1);
    expect(relay.asked.includes('resource')).toBe(false);
  });
});

describe('a primary with keys', () => {
  it('is refused with a reason by a node that has none', async () => {
    const secondary = await Secondary.start(null);
    await expect(secondary.dial(keys('alpha', 'beta'))).rejects.toMatchObject({
      code: 'peer-refused',
      message: expect.stringContaining('takes no TLS') as unknown,
    });
    await until(() => secondary.turnedAway.length === 1);
    expect(secondary.turnedAway[0]).toContain('has a secret-file and this node has none');
  });

  it('says what it may be when the peer goes on hanging up on TLS, as hastd does', async () => {
    const hastd: Server = createServer((socket) => socket.once('data', () => socket.destroy()));
    open.push({ close: () => hastd.close() });
    await once(hastd.listen(0, '127.0.0.1'), 'listening');
    const remote = `tcp4://127.0.0.1:${(hastd.address() as AddressInfo).port}`;
    let now = 1000;
    const connector = dataConnector(remote, null, keys('alpha', 'beta'), () => now);
    const codes: unknown[] = [];
    // A node that is just stopping does it, too, and is dialled often.
    for (const at of [1000, 1010, 1020, 1030, 3990, 4000]) {
      now = at;
      await connector
        .connect(5000, new AbortController().signal)
        .catch((error: unknown) => codes.push(Reflect.get(error as object, 'code')));
    }
    expect(codes).toEqual([...Array<string>(5).fill('tls-ended'), 'peer-refused']);
  });

  it('goes with a secret that the peer has as its second one', async () => {
    const secondary = await Secondary.start(
      keys('beta', 'alpha', `another secret of some length\n${SECRET}`),
    );
    const { near, far } = await secondary.link();
    const up = collected(far);
    near.send(Buffer.from('it works'));
    await until(() => up.bytes.toString() === 'it works');
  });

  it('takes a link that was cut off for dead', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    const { relay, near } = await secondary.relayed();
    near.send(FIRST);
    await until(() => secondary.adopted.length === 1);
    const { ends } = collected(near);
    relay.cut();
    await until(() => ends.length === 1);
  });
});
