/** Random bytes at every door of a serving pair: nothing moves, grows or fills the log. */
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect, type NetConnectOpts } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { groupOf, type LabDaemon, type LabNode, resourceOf } from '../support/daemon.ts';
import { Lab } from '../support/lab.ts';

const KNOCKS = 200;
const AT_ONCE = 20;
const GIVES_UP_MS = 200;
const MAX_GROWTH_BYTES = 64 * 1024 * 1024;
const MAX_CAUSES = 4;
const STRANGER = '127.0.0.1';

/** The same bytes in every run. */
function garbage(seed: number): Buffer {
  let state = (seed * 2654435761) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return Buffer.from(Array.from({ length: 1 + (next() % 2000) }, () => next() & 0xff));
}

/** One connection that says `bytes` and waits a moment for an answer; a refusal is as good. */
function knock(where: NetConnectOpts, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(where, () => socket.write(bytes));
    socket.setTimeout(GIVES_UP_MS, () => socket.destroy());
    socket.on('error', () => undefined).on('close', () => resolve());
    socket.resume();
  });
}

async function knockOften(where: NetConnectOpts, first: Buffer = Buffer.alloc(0)): Promise<void> {
  for (let seed = 1; seed <= KNOCKS; seed += AT_ONCE) {
    const batch = Array.from({ length: AT_ONCE }, (_, index) =>
      knock(where, Buffer.concat([first, garbage(seed + index)])),
    );
    await Promise.all(batch);
  }
}

interface Datagrams {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  /** All of this length; of any when it is missing. */
  readonly length?: number;
}

async function sendOften({ from, to, port, length }: Datagrams): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, from, resolve));
  for (let seed = 1; seed <= KNOCKS; seed += 1) {
    await new Promise<void>((resolve) =>
      socket.send(garbage(seed).subarray(0, length), port, to, () => resolve()),
    );
  }
  await new Promise<void>((resolve) => socket.close(resolve));
}

async function residentBytes(pid: number): Promise<number> {
  const kib = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

describe.skipIf(process.platform !== 'linux')('garbage', () => {
  let lab: Lab;
  let pair: Readonly<Record<LabNode, LabDaemon>>;
  beforeAll(async () => {
    lab = await Lab.make({ groups: [{ name: 'storage', resources: ['disk1'], address: true }] });
    pair = await lab.startPair();
  });
  afterAll(() => lab.close());

  /** A client's write is on both nodes and comes back. */
  async function primaryServes(): Promise<void> {
    const status = await pair.hasta.status();
    const resource = resourceOf(status, 'disk1');
    expect(groupOf(status, 'storage').state).toBe('primary.serving');
    expect(resource.status).toBe('complete');
    expect(resource.record?.inSync).toEqual(['hasta', 'hastb']);
    const offered = resource.export;
    if (offered === null) throw new Error('nothing is exported');
    const nbd = await connectNbd({ socketPath: offered.socket, exportName: offered.name });
    try {
      const block = Buffer.alloc(4096, 0x42);
      await nbd.write(0, block);
      expect((await nbd.read(0, 4096)).equals(block)).toBe(true);
    } finally {
      await nbd.disconnect();
    }
  }

  const otherHost = (node: LabNode): string => lab.places[node === 'hasta' ? 'hastb' : 'hasta'].host;

  const doors: Record<string, (node: LabNode) => Promise<void>> = {
    'the control socket': (node) => knockOften({ path: lab.places[node].control }),
    'the control socket, as a request': (node) =>
      knockOften({ path: lab.places[node].control }, Buffer.from('{"id":1,')),
    'the port of the data link, by the peer': (node) =>
      knockOften({
        host: lab.places[node].host,
        port: lab.places[node].dataPort,
        localAddress: otherHost(node),
      }),
    'the port of the data link, by a stranger': (node) =>
      knockOften({ host: lab.places[node].host, port: lab.places[node].dataPort, localAddress: STRANGER }),
    'the port of the peer channel': (node) =>
      knockOften({ host: lab.places[node].host, port: lab.places[node].peerPort }),
    'the port of adverts, by the peer': (node) =>
      sendOften({ from: otherHost(node), to: lab.places[node].host, port: lab.advertPort }),
    'the port of adverts, as long as an advert': (node) =>
      sendOften({ from: otherHost(node), to: lab.places[node].host, port: lab.advertPort, length: 36 }),
    'the port of adverts, by a stranger': (node) =>
      sendOften({ from: STRANGER, to: lab.places[node].host, port: lab.advertPort }),
    'the export': async (node) => {
      const offered = resourceOf(await pair[node].status(), 'disk1').export;
      if (offered !== null) await knockOften({ path: offered.socket });
    },
  };

  it.each(Object.entries(doors))('at %s changes nothing and is one line of log', async (_, attack) => {
    for (const node of ['hasta', 'hastb'] as const) {
      const daemon = pair[node];
      const before = {
        lines: (await daemon.log()).split('\n').length,
        bytes: await residentBytes(daemon.pid),
      };
      const boot = (await daemon.status()).boot;
      await attack(node);
      await primaryServes();
      expect((await daemon.status()).boot).toBe(boot);
      const said = (await daemon.log()).split('\n').slice(before.lines - 1, -1);
      const causes = said.map((line) => line.slice(line.indexOf(' ')).replace(/\d+/g, '#'));
      expect(causes).toEqual([...new Set(causes)]);
      expect(causes.slice(MAX_CAUSES)).toEqual([]);
      expect((await residentBytes(daemon.pid)) - before.bytes).toBeLessThan(MAX_GROWTH_BYTES);
    }
  });

  it('that says nothing and stays does not keep the peer out when it comes back', async () => {
    const { host, dataPort, peerPort } = lab.places.hasta;
    const silent = [dataPort, peerPort].flatMap((port) =>
      Array.from({ length: 100 }, () => {
        const socket = connect({ host, port, localAddress: STRANGER });
        return socket.on('error', () => undefined).resume();
      }),
    );
    try {
      await pair.hastb.stop();
      await pair.hasta.until('alone', (status) => resourceOf(status, 'disk1').status !== 'complete');
      pair.hastb.start();
      await pair.hasta.until('in sync again', (status) => {
        return groupOf(status, 'storage').badge === 'failover now: safe';
      });
      await primaryServes();
    } finally {
      for (const socket of silent) socket.destroy();
    }
  });
});
