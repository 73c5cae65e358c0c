import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerAddress } from '../../../src/model/settings.ts';
import { derivePeerKeys, identityOf } from '../../../src/net/peer-channel-security.ts';
import type { PeerChannelOptions, RefusalCause } from '../../../src/net/peer-channel-types.ts';
import { AS_HAST2, SECRET, closeAll, freeAddress, makeChannel } from './peer-channel-support.ts';
import type { TestChannel } from './peer-channel-support.ts';

const open = new Set<Socket>();

afterEach(async () => {
  for (const socket of open) socket.destroy();
  open.clear();
  await closeAll();
});

async function listening(
  options: Partial<PeerChannelOptions> = {},
): Promise<TestChannel & { at: PeerAddress }> {
  const at = await freeAddress('127.0.0.11');
  const made = makeChannel(at, [], options);
  await made.channel.start();
  return { ...made, at };
}

function dial({ host, port }: PeerAddress): Socket {
  const socket = connect({ host, port });
  socket.on('error', () => undefined);
  open.add(socket);
  return socket;
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()));

/** Until the channel logged a refusal; the causes so far. */
async function refused({ channel, heard }: TestChannel, cause: RefusalCause): Promise<unknown> {
  await heard.some('log', () => (channel.status().refused[cause] ?? 0) > 0);
  return channel.status().refused;
}

/** A second node with other options than the first expects; the first one's refusals. */
async function meetWith(options: Partial<PeerChannelOptions>, cause: RefusalCause): Promise<TestChannel> {
  const one = await listening();
  const other = makeChannel(await freeAddress('127.0.0.12'), [one.at], { ...AS_HAST2, ...options });
  await other.channel.start();
  await refused(one, cause);
  expect([...one.heard.of('up'), ...other.heard.of('up')]).toEqual([]);
  return other;
}

describe('a peer channel with a secret turns away', () => {
  it('a node with another secret, and tells both operators what to do', async () => {
    const other = await meetWith({ secret: Buffer.from('another secret, long enough') }, 'wrong-key');
    await refused(other, 'wrong-key');
    const lines = other.heard
      .of('log')
      .filter(({ message }) => message.includes('same secret-file on both nodes'));
    expect(lines).toHaveLength(1);
  });

  it('a node with a name that it does not know', async () => {
    await meetWith({ self: 'hast3' }, 'unknown-identity');
  });

  it('itself, when an address of the other node is its own', async () => {
    const at = await freeAddress('127.0.0.11');
    const one = makeChannel(at, [at]);
    await one.channel.start();
    await refused(one, 'own-address');
    expect(one.heard.of('up')).toEqual([]);
  });

  it('plaintext', async () => {
    const other = await meetWith({ secret: null, insecure: true }, 'not-tls');
    expect(other.channel.status().up).toBe(false);
  });

  it('a TLS older than 1.3, even with the right key', async () => {
    const one = await listening();
    const [psk] = derivePeerKeys(SECRET, 'hast2', 'hast1');
    const old = connectTls({
      ...one.at,
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
      pskCallback: () => ({ psk, identity: identityOf('hast2', psk) }),
      checkServerIdentity: () => undefined,
    });
    old.on('error', () => undefined);
    await closed(old);
    expect(await refused(one, 'old-tls')).toEqual({ 'old-tls': 1 });
  });

  it('a holder of the key that names itself differently in its hello', async () => {
    const one = await listening();
    const [psk] = derivePeerKeys(SECRET, 'hast2', 'hast1');
    const liar = connectTls({
      ...one.at,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: () => ({ psk, identity: identityOf('hast2', psk) }),
    });
    liar.on('error', () => undefined);
    liar.write(
      `${JSON.stringify({ type: 'hello', node: 'hast9', boot: AS_HAST2.boot, version: '', timing: '' })}\n`,
    );
    await closed(liar);
    expect(one.channel.status().refused).toEqual({ 'wrong-node': 1 });
  });

  it.each([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['zeros', Buffer.alloc(4096)],
    ['a TLS record that lies about its length', Buffer.from('16030100050100ffffff', 'hex')],
  ])('%s', async (_, bytes) => {
    const one = await listening();
    const stranger = dial(one.at);
    stranger.resume();
    stranger.end(bytes);
    await closed(stranger);
    expect(one.channel.status().up).toBe(false);
  });

  it('the same stranger a hundred times with one line in the log', async () => {
    const one = await listening();
    for (let n = 0; n < 100; n += 1) {
      const stranger = dial(one.at);
      stranger.resume();
      stranger.end('GET / HTTP/1.1\r\n\r\n');
      await closed(stranger);
    }
    expect(one.channel.status().refused).toEqual({ 'not-tls': 100 });
    expect(one.heard.of('log')).toHaveLength(1);
  });
});

it('lets the peer in while strangers hold more connections open than may wait', async () => {
  const one = await listening();
  const strangers = Array.from({ length: 9 }, () => dial(one.at));
  await Promise.race(strangers.map(closed));
  expect(one.channel.status().refused).toEqual({ 'too-many': 1 });
  const two = makeChannel(await freeAddress('127.0.0.12'), [one.at], AS_HAST2);
  await two.channel.start();
  await two.heard.some('alive');
  expect(one.channel.status().up).toBe(true);
});

it('gives a stranger five seconds to authenticate', async () => {
  const one = await listening();
  const before = performance.now();
  await closed(dial(one.at));
  expect(performance.now() - before).toBeGreaterThan(4_900);
  expect(one.channel.status().refused).toEqual({ 'too-slow': 1 });
});

it('derives one key for a pair of nodes, another for every other pair', () => {
  const keyOf = (self: string, peer: string): Buffer => derivePeerKeys(SECRET, self, peer)[0];
  const key = keyOf('a', 'b');
  expect(keyOf('b', 'a')).toEqual(key);
  expect(keyOf('a', 'c')).not.toEqual(key);
  expect(keyOf('a,b', '')).not.toEqual(key);
  expect(key).toHaveLength(32);
});

it('accepts the second secret of the file as well, and offers another after it was read again', async () => {
  const before = 'the secret from before';
  const after = 'the secret from now on';
  const one = await listening({ secret: Buffer.from(`${before}\n${after}\n`) });
  const two = makeChannel(await freeAddress('127.0.0.12'), [one.at], {
    ...AS_HAST2,
    secret: Buffer.from(`${after}\n${before}\n`),
  });
  await two.channel.start();
  await two.heard.some('alive');
  one.channel.rekey(Buffer.from(after));
  expect(one.channel.status()).toMatchObject({ up: true, refused: {} });
  const late = makeChannel(await freeAddress('127.0.0.13'), [one.at], {
    ...AS_HAST2,
    boot: '00000000000000cc',
    secret: Buffer.from(before),
  });
  await late.channel.start();
  await refused(one, 'wrong-key');
  expect(late.heard.of('up')).toEqual([]);
});
