/** hast.conf read again while an engine runs: what changes on the wire, and what does not break. */
import { describe, expect, it } from 'vitest';

import type { ResourceSettings } from '../../src/model/settings.ts';
import { FrameReader } from '../../src/protocol/hast-message.ts';
import { SimPair, type SimNode } from '../../src/simulate/sim-node.ts';

const BEFORE: ResourceSettings = {
  name: 'disk',
  provname: 'disk',
  local: '/sim',
  remote: 'beta',
  source: null,
  replication: 'memsync',
  checksum: 'none',
  compression: 'none',
  timeoutMs: 20_000,
  exec: null,
  metaflush: true,
  peer: 'beta',
};

/** Fields of every frame that a primary sends from now on, by connection. */
function spyOnFrames(pair: SimPair): Map<string, unknown>[] {
  const frames: Map<string, unknown>[] = [];
  const connect = pair.net.connect.bind(pair.net);
  pair.net.connect = async (...args) => {
    const connection = await connect(...args);
    const send = connection.send.bind(connection);
    const reader = new FrameReader({ maxNvBytes: 65_536, maxDataBytes: 1 << 20 });
    connection.send = (...chunks) => {
      for (const { nv } of reader.push(Buffer.concat(chunks)))
        frames.push(new Map(nv.fields().map(({ name, value }) => [name, value])));
      return send(...chunks);
    };
    return connection;
  };
  return frames;
}

async function joined(): Promise<{ pair: SimPair; frames: Map<string, unknown>[] }> {
  const pair = new SimPair(5);
  const frames = spyOnFrames(pair);
  await pair.join();
  return { pair, frames };
}

async function lastWrite(node: SimNode, frames: Map<string, unknown>[]): Promise<Map<string, unknown>> {
  frames.length = 0;
  expect(await node.write(65_536, Buffer.alloc(4096, 'abcd'))).toBeNull();
  const write = frames.find((fields) => fields.get('cmd') === 2);
  if (write === undefined) throw new Error('no write was sent');
  return write;
}

function count(node: SimNode, kind: string): number {
  return node.kinds().filter((one) => one === kind).length;
}

describe('a primary that is given other settings', () => {
  it('writes with the new mode, checksum and compression from the next request on, on the same connection', async () => {
    const { pair, frames } = await joined();
    const plain = await lastWrite(pair.alpha, frames);
    expect([plain.has('memsync'), plain.has('checksum'), plain.has('compression')]).toEqual([
      true,
      false,
      false,
    ]);
    await pair.alpha.run({
      type: 'settings',
      resource: { ...BEFORE, replication: 'fullsync', checksum: 'crc32', compression: 'lzf' },
    });
    const changed = await lastWrite(pair.alpha, frames);
    expect([changed.has('memsync'), changed.get('checksum'), changed.get('compression')]).toEqual([
      false,
      'crc32',
      'lzf',
    ]);
    await pair.alpha.run({ type: 'settings', resource: BEFORE });
    expect((await lastWrite(pair.alpha, frames)).has('memsync')).toBe(true);
    expect(count(pair.alpha, 'disconnected')).toBe(0);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });

  it.each([
    ['remote', { remote: 'beta-too' }],
    ['source', { source: '10.0.0.9' }],
  ])('connects anew for another %s, and nothing that was written is lost', async (_what, change) => {
    const { pair } = await joined();
    const written = pair.alpha.submit(0, Buffer.alloc(8192, 3));
    await pair.alpha.run({ type: 'settings', resource: { ...BEFORE, ...change } });
    expect(await pair.clock.finish(written)).toBeNull();
    await pair.untilInSync(pair.beta);
    await pair.clock.run(5000, () => count(pair.alpha, 'connected') === 2);
    expect([count(pair.alpha, 'connected'), count(pair.alpha, 'disconnected')]).toEqual([2, 1]);
    await pair.untilInSync(pair.beta);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });
});

describe('a secondary that is given other settings', () => {
  it('keeps its role, and is connected anew when they concern the connection', async () => {
    const { pair } = await joined();
    const settings: ResourceSettings = { ...BEFORE, remote: 'alpha', peer: 'alpha' };
    await pair.beta.run({ type: 'settings', resource: { ...settings, exec: '/bin/true' } });
    await pair.clock.run(2000);
    expect(count(pair.beta, 'disconnected')).toBe(0);
    await pair.beta.run({ type: 'settings', resource: { ...settings, checksum: 'sha256' } });
    await pair.clock.run(5000, () => count(pair.beta, 'connected') === 2);
    await pair.untilInSync(pair.beta);
    expect((await pair.beta.snapshot()).role).toBe('secondary');
    expect([count(pair.beta, 'disconnected'), count(pair.alpha, 'disconnected')]).toEqual([1, 1]);
  });
});

describe('a mode that does not wait for the peer (A2)', () => {
  const mode = (node: SimNode): unknown => node.seen?.primaryMode;

  it('is in force only when the secondary knows it: the first answer waits for the new handshake', async () => {
    const { pair } = await joined();
    expect(mode(pair.beta)).toBe('memsync');
    pair.net.latencyMs = 20;
    await pair.alpha.run({ type: 'settings', resource: { ...BEFORE, replication: 'async' } });
    const seen: unknown[] = [];
    const written = pair.alpha.submit(0, Buffer.alloc(4096, 1)).then((error) => {
      seen.push(error, mode(pair.beta));
    });
    await pair.clock.finish(written);
    expect(seen).toEqual([null, 'async']);
    await pair.untilInSync(pair.beta);
    expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  });

  it('is not left by a secondary that was given other settings before its primary', async () => {
    const pair = new SimPair(5, { replication: 'async' });
    await pair.join();
    await pair.beta.run({
      type: 'settings',
      resource: { ...BEFORE, remote: 'alpha', peer: 'alpha', replication: 'fullsync' },
    });
    expect((await pair.beta.snapshot()).primaryMode).toBe('async');
    await pair.untilInSync(pair.beta);
    expect(mode(pair.beta)).toBe('async');
  });

  it('is remembered by who never met a primary and was given another one', async () => {
    const pair = new SimPair(5, { replication: 'async' });
    await pair.beta.start();
    await pair.beta.run({
      type: 'settings',
      resource: { ...BEFORE, remote: 'alpha', peer: 'alpha', replication: 'fullsync' },
    });
    expect((await pair.beta.snapshot()).primaryMode).toBe('async');
  });

  it('is over for a secondary only when it has what was acknowledged until then', async () => {
    const pair = new SimPair(5, { replication: 'async' });
    await pair.join();
    const settings = { ...BEFORE, replication: 'async' } as const;
    pair.net.latencyMs = 50;
    for (let at = 0; at < 8; at++)
      expect(await pair.alpha.write(at * 65_536, Buffer.alloc(4096, 9))).toBeNull();
    const claims: string[] = [];
    pair.beta.onEvent = ({ kind, snapshot }) => {
      if (snapshot === null || kind === 'disconnected' || snapshot.primaryMode === 'async') return;
      if (snapshot.freshness.kind === 'inSync')
        claims.push(`${kind} ${pair.beta.data.equals(pair.alpha.data)}`);
    };
    // What was acknowledged is under way to beta, and never arrives.
    pair.net.loseAll();
    await pair.alpha.run({ type: 'settings', resource: { ...settings, replication: 'fullsync' } });
    await pair.untilInSync(pair.beta);
    expect(claims.length).toBeGreaterThan(0);
    expect(claims.filter((claim) => claim.endsWith('false'))).toEqual([]);
  });
});
