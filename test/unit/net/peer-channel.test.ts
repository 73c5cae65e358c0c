import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { HastateError, NetError } from '../../../src/model/errors.ts';
import { createPeerChannel } from '../../../src/net/peer-channel.ts';
import { encodePeerMessage } from '../../../src/protocol/peer-message.ts';
import { AS_HAST2, BODY, closeAll, connectedPair, freeAddress, makeChannel } from './peer-channel-support.ts';
import type { PeerAddress } from '../../../src/model/settings.ts';

afterEach(closeAll);

/** A plaintext peer by hand: sends a hello and reads nothing unless told to. */
async function handMadePeer(to: PeerAddress): Promise<Socket> {
  const socket = connect({ host: to.host, port: to.port });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(
    encodePeerMessage({ type: 'hello', node: 'hast2', boot: AS_HAST2.boot, version: '', timing: '' }),
  );
  return socket;
}

describe('two peer channels', () => {
  it('speak TLS 1.3 and hear each other’s heartbeats with their content', async () => {
    const { one, two } = await connectedPair();
    const { heartbeat } = await one.heard.some('heard', (event) => event.heartbeat !== null);
    expect(heartbeat).toMatchObject(BODY);
    expect(one.channel.status().security).toMatch(/^TLSv1\.3 TLS_/);
    expect(two.channel.status().security).toMatch(/^TLSv1\.3 TLS_/);
    expect(one.heard.of('boot')).toEqual([{ kind: 'boot', boot: AS_HAST2.boot }]);
    expect(one.heard.of('up')).toHaveLength(1);

    // Over all of them, so that one that just fails costs no time; each is run once.
    const asked: unknown[] = [];
    two.channel.onRequest((method, params) => {
      asked.push(params);
      return Promise.resolve({ method });
    });
    for (const epoch of [1, 2])
      await expect(one.channel.request('outdate', { epoch }, 1000)).resolves.toEqual({ method: 'outdate' });
    expect(asked).toEqual([{ epoch: 1 }, { epoch: 2 }]);
  });

  it('prove with an echo which of our own sends the peer heard, rising only', async () => {
    const { one } = await connectedPair();
    const before = performance.now();
    await one.heard.next('alive', ({ at }) => at > before);
    const times = one.heard.of('alive').map(({ at }) => at);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(times.at(-1)).toBeLessThanOrEqual(performance.now());
  });

  it('answer requests, and refuse them with the code of the handler’s error', async () => {
    const { one, two } = await connectedPair();
    two.channel.onRequest((method, params) =>
      method === 'outdate'
        ? Promise.resolve({ done: params['epoch'] })
        : Promise.reject(new HastateError('not-now', 'a hook runs')),
    );
    await expect(one.channel.request('outdate', { epoch: 7 }, 1000)).resolves.toEqual({ done: 7 });
    await expect(one.channel.request('claim', {}, 1000)).rejects.toMatchObject({
      code: 'peer-refused',
      message: 'the peer refused `claim`: a hook runs',
      cause: { code: 'not-now' },
    });
  });

  it('answer a request with an error while nobody handles requests', async () => {
    const { one } = await connectedPair();
    await expect(one.channel.request('status', {}, 1000)).rejects.toMatchObject({
      cause: { code: 'peer-not-ready' },
    });
  });

  it('reject a request that is not answered in time, and one whose connection is lost', async () => {
    const { one, two } = await connectedPair();
    two.channel.onRequest(() => new Promise(() => undefined));
    await expect(one.channel.request('status', {}, 30)).rejects.toMatchObject({ code: 'peer-timeout' });
    const lost = expect(one.channel.request('status', {}, 30_000)).rejects.toMatchObject({
      code: 'peer-lost',
    });
    await two.channel.close();
    await lost;
  });

  it('bound the requests that wait for an answer', async () => {
    const { one, two } = await connectedPair();
    two.channel.onRequest(() => new Promise(() => undefined));
    const waiting = Array.from({ length: 64 }, () => one.channel.request('status', {}, 30_000));
    await expect(one.channel.request('status', {}, 30_000)).rejects.toMatchObject({ code: 'peer-busy' });
    await Promise.all([
      ...waiting.map((request) => expect(request).rejects.toBeInstanceOf(NetError)),
      one.channel.close(),
    ]);
  });

  it('say goodbye when closed, which is no death', async () => {
    const { one, two } = await connectedPair();
    await two.channel.close();
    await one.heard.some('down');
    expect(one.heard.of('goodbye')).toHaveLength(1);
    await expect(one.channel.request('status', {}, 100)).rejects.toMatchObject({
      code: 'peer-not-connected',
    });
    expect(one.heard.of('death')).toEqual([]);
    expect(two.heard.of('goodbye')).toEqual([]);
  });

  it('meet again after a restart, as another life', async () => {
    const { one, two, at1, at2 } = await connectedPair();
    await two.channel.close();
    await one.heard.some('down');
    const again = makeChannel(at2, [at1], { ...AS_HAST2, boot: '3333333333333333' });
    await again.channel.start();
    await one.heard.some('boot', ({ boot }) => boot === '3333333333333333');
    await again.heard.some('alive');
    const from = one.heard.all.length;
    await one.heard.next('alive', undefined, from);
    expect(one.channel.status()).toMatchObject({ up: true, boot: '3333333333333333' });
  });

  it('keep a connection over each network, and stay up when one ends', async () => {
    const [at1, at2, other] = await Promise.all([
      freeAddress('127.0.0.11'),
      freeAddress('127.0.0.12'),
      freeAddress('127.0.0.13'),
    ]);
    const one = makeChannel(at1, [at2, other]);
    const two = makeChannel(at2, [at1], { ...AS_HAST2, listen: [at2, other] });
    await Promise.all([one.channel.start(), two.channel.start()]);
    while (one.channel.status().connections < 3) await one.heard.next('heard');
    expect(one.heard.of('up')).toHaveLength(1);
  });

  it('warn when the times of the two nodes differ', async () => {
    const { one } = await connectedPair({ timing: 'aaaa' }, { timing: 'bbbb' });
    expect(
      one.heard.of('log').filter(({ message }) => message.includes('times of hast2 differ')),
    ).toHaveLength(1);
  });

  it('refuse to listen where somebody listens already, and say what to do', async () => {
    const { at1, at2 } = await connectedPair();
    const third = makeChannel(at1, [at2]);
    await expect(third.channel.start()).rejects.toMatchObject({ code: 'peer-listen' });
  });

  it('listen later on an address that this machine does not have yet', async () => {
    const late = makeChannel({ host: '192.0.2.1', port: 4000 }, []);
    await late.channel.start();
    expect(
      late.heard
        .of('log')
        .map(({ message }) => message)
        .join(),
    ).toContain('not an address of this machine yet');
  });
});

it('dials without a pause when the peer came first', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const [at1, at2] = [await freeAddress('127.0.0.11'), await freeAddress('127.0.0.12')];
  let attempts = 0;
  const silent = createServer((socket) => {
    attempts += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => silent.listen(at2.port, at2.host, resolve));
  /** No pause passes meanwhile. */
  const dialled = async (times: number): Promise<boolean> => {
    for (let turns = 2000; turns > 0 && attempts < times; turns -= 1) {
      vi.advanceTimersByTime(0);
      await setImmediate();
    }
    return attempts >= times;
  };
  try {
    const { channel, heard } = makeChannel(at1, [at2], { secret: null, insecure: true });
    await channel.start();
    // The second one follows the first at once, the third after a pause.
    expect([await dialled(2), await dialled(3)]).toEqual([true, false]);
    const socket = await handMadePeer(at1);
    await heard.some('up');
    expect(await dialled(3)).toBe(true);
    socket.destroy();
  } finally {
    vi.useRealTimers();
    silent.close();
  }
});

describe('a peer that misbehaves after its hello', () => {
  const plain = { secret: null, insecure: true } as const;

  it('renews nothing with an echo of another life, of the future or of the past', async () => {
    const at1 = await freeAddress('127.0.0.11');
    const one = makeChannel(at1, [], plain);
    await one.channel.start();
    const peer = await handMadePeer(at1);
    const ours = '1111111111111111';
    const now = performance.now();
    const echoes = [
      { boot: '9999999999999999', at: now - 3 },
      { boot: ours, at: now + 1e6 },
      { boot: ours, at: now - 2 },
      { boot: ours, at: now - 3 },
      { boot: ours, at: now - 1 },
    ];
    echoes.forEach((echo, seq) =>
      peer.write(encodePeerMessage({ type: 'heartbeat', seq, sentAt: seq, echo, ...BODY })),
    );
    await one.heard.some('heard', ({ heartbeat }) => heartbeat?.seq === 4);
    await one.heard.some('alive', ({ at }) => at === now - 1);
    expect(one.heard.of('alive').map(({ at }) => at)).toEqual([now - 2, now - 1]);
    peer.destroy();
  });

  it('is given up when it does not read what we send', async () => {
    const at1 = await freeAddress('127.0.0.11');
    const one = makeChannel(at1, [], plain);
    one.channel.onRequest(() => Promise.resolve('x'.repeat(60_000)));
    await one.channel.start();
    const deaf = await handMadePeer(at1);
    deaf.pause();
    const down = one.heard.some('down');
    const asks = Buffer.concat(
      Array.from({ length: 400 }, (_, id) =>
        encodePeerMessage({ type: 'request', id, method: 'status', params: {} }),
      ),
    );
    deaf.write(asks);
    const more = setInterval(() => deaf.write(asks), 5);
    await expect(down).resolves.toMatchObject({ reason: 'the peer does not read what we send' });
    clearInterval(more);
    deaf.destroy();
  });

  it('is given up when nothing is heard of it', async () => {
    const at1 = await freeAddress('127.0.0.11');
    const one = makeChannel(at1, [], plain);
    await one.channel.start();
    const mute = await handMadePeer(at1);
    await expect(one.heard.some('down')).resolves.toMatchObject({ reason: 'nothing was heard on it' });
    expect(one.heard.of('death')).toEqual([]);
    mute.destroy();
  });

  it.each([
    ['no JSON', Buffer.from('GET / HTTP/1.1\n')],
    ['an endless line', Buffer.alloc(70_000, 'x')],
    [
      'a second hello',
      encodePeerMessage({ type: 'hello', node: 'hast2', boot: AS_HAST2.boot, version: '', timing: '' }),
    ],
  ])('is dropped for %s', async (_, bytes) => {
    const at1 = await freeAddress('127.0.0.11');
    const one = makeChannel(at1, [], plain);
    await one.channel.start();
    const peer = await handMadePeer(at1);
    await one.heard.some('up');
    peer.write(bytes);
    await one.heard.some('down');
    expect(one.channel.status().refused).toEqual({ garbage: 1 });
  });
});

it('is not made without a secret, unless plaintext was allowed by name', () => {
  const make = (secret: Buffer | null): unknown =>
    createPeerChannel({
      self: 'hast1',
      peer: 'hast2',
      boot: '1111111111111111',
      addresses: [],
      listen: [],
      secret,
      insecure: false,
      clock: performance,
      heartbeatMs: 100,
      composeHeartbeat: () => BODY,
      log: () => undefined,
      callbacks: {},
    });
  expect(() => make(null)).toThrow(expect.objectContaining({ code: 'secret-missing' }));
  expect(() => make(Buffer.from('short'))).toThrow(expect.objectContaining({ code: 'secret-too-short' }));
});
