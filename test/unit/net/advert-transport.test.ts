import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';

import { afterEach, describe, expect, it } from 'vitest';

import { openAdvertTransport } from '../../../src/net/advert-transport.ts';
import type { AdvertMeta, AdvertTransport } from '../../../src/net/advert-transport.ts';
import { freeUdpPort } from '../../support/free-ports.ts';

const A = '127.0.78.1';
const B = '127.0.78.2';
const STRANGER = '127.0.78.3';
const opened: { close(): unknown }[] = [];
const lines: string[] = [];

afterEach(() => {
  for (const thing of opened.splice(0)) thing.close();
  lines.splice(0);
});

async function udpSocket(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  opened.push(socket);
  socket.bind({ address, port: 0 });
  await once(socket, 'listening');
  return socket;
}
async function udp(own: string, peer: string, port: number): Promise<AdvertTransport> {
  const transport = await openAdvertTransport({
    transport: 'udp',
    interface: 'lo',
    peers: [peer],
    port,
    bind: [own],
    log: (level, message) => lines.push(`${level}: ${message}`),
  });
  opened.push(transport);
  return transport;
}
const next = (transport: AdvertTransport): Promise<{ packet: string; meta: AdvertMeta }> =>
  new Promise((resolve) =>
    transport.onAdvert((packet, meta) => resolve({ packet: packet.toString(), meta })),
  );

describe('adverts by UDP', () => {
  it('go both ways between configured peers', async () => {
    const port = await freeUdpPort(A);
    const [a, b] = [await udp(A, B, port), await udp(B, A, port)];
    const [atA, atB] = [next(a), next(b)];
    expect(a.send(Buffer.from('from a'))).toBeNull();
    expect(b.send(Buffer.from('from b'))).toBeNull();
    expect(await atB).toMatchObject({ packet: 'from a', meta: { source: A, ttl: null } });
    expect(await atA).toMatchObject({ packet: 'from b', meta: { source: B, ttl: null } });
    expect(b.counters()).toMatchObject({ received: 1 });
  });

  it('from anybody else are counted and told once', async () => {
    const port = await freeUdpPort(A);
    const b = await udp(B, A, port);
    const heard: string[] = [];
    b.onAdvert((packet) => heard.push(packet.toString()));
    const stranger = await udpSocket(STRANGER);
    for (let n = 0; n < 3; n += 1) {
      await new Promise((resolve) => stranger.send('spoof', port, B, resolve));
    }
    const a = await udp(A, B, port);
    const arrived = next(b);
    a.send(Buffer.from('real'));
    await arrived;
    expect(heard).toEqual(['real']);
    expect(b.counters()).toMatchObject({ received: 4, 'not-a-peer': 3 });
    expect(lines.filter((line) => line.includes(STRANGER))).toHaveLength(1);
  });

  it('that wait are all delivered by a drain', async () => {
    const port = await freeUdpPort(A);
    const [a, b] = [await udp(A, B, port), await udp(B, A, port)];
    const heard: string[] = [];
    b.onAdvert((packet) => heard.push(packet.toString()));
    for (let n = 0; n < 100; n += 1) a.send(Buffer.from(String(n)));
    // The event loop stands still while they wait in the socket.
    const until = performance.now() + 50;
    while (performance.now() < until);
    await b.drain();
    expect(heard).toEqual(Array.from({ length: 100 }, (_, n) => String(n)));
  });

  it('of several groups share one port of one node', async () => {
    const port = await freeUdpPort(A);
    const [one, two] = [await udp(A, B, port), await udp(A, B, port)];
    const b = await udp(B, A, port);
    const both = Promise.all([next(one), next(two)]);
    b.send(Buffer.from('for all'));
    expect((await both).map(({ packet }) => packet)).toEqual(['for all', 'for all']);
    one.close();
    const still = next(two);
    b.send(Buffer.from('again'));
    expect((await still).packet).toBe('again');
  });

  it('give the reason when they can no longer be sent', async () => {
    const a = await udp(A, B, await freeUdpPort(A));
    a.close();
    a.close();
    expect(a.send(Buffer.from('x'))).toMatch(/closed/);
    const b = await udp(B, '::1', await freeUdpPort(A));
    expect(b.send(Buffer.from('x'))).toMatch(/family/);
  });

  it('cannot be had without a peer, a known peer, or on a taken port', async () => {
    const options = { transport: 'udp', interface: 'lo', bind: [A], log: () => undefined } as const;
    const port = await freeUdpPort(A);
    await expect(openAdvertTransport({ ...options, peers: [], port })).rejects.toMatchObject({
      code: 'no-advert-peer',
    });
    const taken = (await udpSocket(A)).address().port;
    await expect(openAdvertTransport({ ...options, peers: [B], port: taken })).rejects.toMatchObject({
      code: 'udp-bind',
    });
  });
});

describe('choosing how adverts travel', () => {
  const options = { interface: 'no-such-if0', peers: [B], bind: [A], log: () => undefined };

  it('takes UDP and says why when raw sockets cannot be had', async () => {
    const transport = await openAdvertTransport({
      ...options,
      transport: 'auto',
      port: await freeUdpPort(A),
    });
    opened.push(transport);
    expect(transport.kind).toBe('udp');
    expect(transport.why).toMatch(/no raw socket: /);
  });

  it('does not fall back when raw was asked for', async () => {
    await expect(openAdvertTransport({ ...options, transport: 'raw', port: 1 })).rejects.toMatchObject({
      code: expect.stringMatching(/interface-missing|raw-socket/) as unknown,
    });
  });

  it('names both reasons when nothing works', async () => {
    await expect(
      openAdvertTransport({ ...options, peers: [], transport: 'auto', port: 1 }),
    ).rejects.toMatchObject({
      code: 'no-advert-transport',
      message: expect.stringContaining('no raw socket') as unknown,
      cause: { code: 'no-advert-peer' },
    });
  });
});
