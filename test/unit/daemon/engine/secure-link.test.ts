/** The encrypted data link between a listener, an engine's entrance and a connector, over real sockets. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { dataConnector } from '../../../../src/daemon/engine/connector.ts';
import { loadLibC } from '../../../../src/daemon/engine/native.ts';
import { splitSecrets } from '../../../../src/model/secrets.ts';
import { pskClient } from '../../../../src/net/psk-tls.ts';
import { FrameReader } from '../../../../src/protocol/hast-message.ts';
import { deriveLinkTls } from '../../../../src/protocol/link-keys.ts';
import type { LinkTls } from '../../../../src/protocol/link-keys.ts';
import {
  BIG,
  closeOpen,
  collected,
  expectBothDirections,
  FIRST,
  keep,
  Secondary,
} from './secondary-support.ts';
import type { Dup } from './secondary-support.ts';
import { until } from './tcp-pair.ts';

const SECRET = 'a secret of some length';
const ways: [string, Dup][] = [['relayed', null]];
const libc = loadLibC();
if (libc !== null) ways.push(['handed over as a descriptor', libc.dup]);

const keys = (self: string, peer: string, secret = SECRET, resource = 'disk1'): LinkTls =>
  deriveLinkTls(splitSecrets(Buffer.from(secret)), resource, self, peer);

afterEach(closeOpen);

describe.each(ways)('an encrypted connection that is %s', (_way, dup) => {
  it('has its first frame read, and carries both directions byte for byte', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'), dup);
    await expectBothDirections(await secondary.link(keys('alpha', 'beta')));
  });

  it('reads to where the primary wants it', async () => {
    const { near, far } = await (
      await Secondary.start(keys('beta', 'alpha'), dup)
    ).link(keys('alpha', 'beta'));
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
    const { near, far } = await (
      await Secondary.start(keys('beta', 'alpha'), dup)
    ).link(keys('alpha', 'beta'));
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
    const { near, far } = await (
      await Secondary.start(keys('beta', 'alpha'), dup)
    ).link(keys('alpha', 'beta'));
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
    const { relay, near } = await secondary.relayed(keys('alpha', 'beta'));
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
    expect(secondary.turnedAway[0]).toContain('has a secret-file or tls and this node has none');
  });

  it('says what it may be when the peer goes on hanging up on TLS, as hastd does', async () => {
    const hastd: Server = createServer((socket) => socket.once('data', () => socket.destroy()));
    keep({ close: () => hastd.close() });
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
    const { near, far } = await secondary.link(keys('alpha', 'beta'));
    const up = collected(far);
    near.send(Buffer.from('it works'));
    await until(() => up.bytes.toString() === 'it works');
  });

  it('takes a link that was cut off for dead', async () => {
    const secondary = await Secondary.start(keys('beta', 'alpha'));
    const { relay, near } = await secondary.relayed(keys('alpha', 'beta'));
    near.send(FIRST);
    await until(() => secondary.adopted.length === 1);
    const { ends } = collected(near);
    relay.cut();
    await until(() => ends.length === 1);
  });
});
