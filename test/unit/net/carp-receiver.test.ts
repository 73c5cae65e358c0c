import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createCarpReceiver } from '../../../src/net/carp-receiver.ts';
import { encodeCarp } from '../../../src/protocol/carp.ts';
import { internetChecksum } from '../../../src/protocol/ipv4.ts';

const key = Buffer.from('s3cret');
const addresses = ['10.0.0.100/24'];
const meta = { source: '10.0.0.2', destination: '224.0.0.18', ttl: 255, at: 1000 };
const said = {
  vhid: 7,
  advskew: 100,
  advbase: 1,
  counter: 42n,
  key,
  addresses4: ['10.0.0.100'],
  addresses6: [],
};
const good = encodeCarp(said);
const changed = (change: (packet: Buffer) => void): Buffer => {
  const packet = Buffer.from(good);
  change(packet);
  packet.writeUInt16BE(0, 6);
  packet.writeUInt16BE(internetChecksum(packet), 6);
  return packet;
};

function receiver(options: Partial<Parameters<typeof createCarpReceiver>[0]> = {}): {
  receive: ReturnType<typeof createCarpReceiver>;
  lines: string[];
} {
  const lines: string[] = [];
  const receive = createCarpReceiver({
    vhid: 7,
    key,
    addresses,
    ownAddresses: () => new Set(['10.0.0.1']),
    log: (_level, message) => lines.push(message),
    ...options,
  });
  return { receive, lines };
}

describe('a CARP receiver', () => {
  it('lets a valid advert through with who sent it and when', () => {
    const { receive } = receiver();
    const heard = {
      says: { protocol: 'carp', advbase: 1, advskew: 100, demote: 0 },
      source: '10.0.0.2',
      at: 1000,
    };
    expect(receive.receive(good, meta)).toEqual(heard);
    receive.receive(good, { ...meta, at: 1100 });
    expect(receive.peers()).toEqual([{ ...heard, at: 1100, adverts: 2 }]);
    expect(receive.counters()).toEqual({ accepted: 2 });
  });

  it('takes what a configured peer sent through a router, by unicast', () => {
    const { receive } = receiver({ unicast: true });
    expect(receive.receive(good, { ...meta, ttl: 64 })).not.toBeNull();
  });

  it('takes an advert without TTL, which UDP does not have', () => {
    expect(receiver().receive.receive(good, { ...meta, ttl: null })).not.toBeNull();
  });

  it.each([
    ['own-source', good, { source: '10.0.0.1' }, 0],
    ['own-source', Buffer.alloc(0), { source: '10.0.0.1', ttl: 1 }, 0],
    ['ttl', good, { ttl: 254 }, 1],
    ['ttl', Buffer.alloc(3), { ttl: 64 }, 1],
    ['carp-short', good.subarray(0, 35), {}, 1],
    ['carp-long', Buffer.alloc(44), {}, 1],
    ['carp-version', changed((packet) => (packet[0] = 0x31)), {}, 1],
    ['other-vhid', changed((packet) => (packet[1] = 8)), {}, 0],
    ['carp-authlen', changed((packet) => (packet[3] = 1)), {}, 1],
    ['carp-checksum', Buffer.from(good).fill(0, 6, 8), {}, 1],
    ['hmac', changed((packet) => (packet[15] = 43)), {}, 1],
  ])('counts %s', (reason, packet, change, linesPerReason) => {
    const { receive, lines } = receiver();
    for (let n = 0; n < 3; n += 1) expect(receive.receive(packet, { ...meta, ...change })).toBeNull();
    expect(receive.counters()).toEqual({ accepted: 0, [reason]: 3 });
    expect(lines).toHaveLength(linesPerReason);
  });

  it('says a reason again only after a good advert and a minute', () => {
    const { receive, lines } = receiver();
    const bad = good.subarray(1);
    receive.receive(bad, meta);
    receive.receive(good, { ...meta, at: 2000 });
    receive.receive(bad, { ...meta, at: 3000 });
    expect(lines).toHaveLength(1);
    receive.receive(good, { ...meta, at: 70_000 });
    receive.receive(bad, { ...meta, at: 70_001 });
    receive.receive(bad, { ...meta, at: 70_002 });
    expect(lines).toHaveLength(2);
  });

  it('says once that somebody speaks VRRP with the same id', () => {
    const { receive, lines } = receiver();
    const vrrp2 = Buffer.from('2107640101010000' + '0a000064' + '00'.repeat(8), 'hex');
    const vrrp3 = Buffer.from('3107640100640000' + '0a000064', 'hex');
    for (const packet of [vrrp2, vrrp3]) expect(receive.receive(packet, meta)).toBeNull();
    expect(receive.counters()).toEqual({ accepted: 0, 'other-protocol': 2 });
    expect(lines).toEqual([
      expect.stringMatching(/10\.0\.0\.2 speaks VRRP with the same id 7: give one of the two another/),
    ]);
  });

  it('knows its own adverts again, byte for byte, and takes the same counter from another', () => {
    const { receive } = receiver();
    receive.sent(good);
    expect(receive.receive(good, meta)).toBeNull();
    const slower = changed((packet) => (packet[2] = 200));
    expect(receive.receive(slower, meta)).not.toBeNull();
    expect(receive.counters()).toEqual({ accepted: 1, 'looped-back': 1 });
    const careless = receiver({ counter: 'none' }).receive;
    careless.sent(good);
    expect(careless.receive(good, meta)).not.toBeNull();
  });

  it('refuses counters that do not grow when told to be strict, for each source alone and around 2^64', () => {
    const { receive } = receiver({ counter: 'strict' });
    const at = (counter: bigint): Buffer => encodeCarp({ ...said, counter });
    const taken = [5n, 5n, 4n, 6n, 0xffffffffffffffffn, (1n << 63n) - 1n].map(
      (counter) => receive.receive(at(counter), meta) !== null,
    );
    expect(taken).toEqual([true, false, false, true, false, true]);
    expect(receive.receive(at((1n << 64n) - 2n), meta)).not.toBeNull();
    expect(receive.receive(at(1n), meta)).not.toBeNull();
    expect(receive.receive(at(1n), { ...meta, source: '10.0.0.3' })).not.toBeNull();
    expect(receive.counters()).toEqual({ accepted: 6, replay: 3 });
  });

  it('remembers the last 16 nodes', () => {
    const { receive } = receiver();
    for (let n = 0; n < 20; n += 1) receive.receive(good, { ...meta, source: `10.0.1.${n}` });
    expect(receive.peers().map(({ source }) => source)).toEqual(
      Array.from({ length: 16 }, (_, n) => `10.0.1.${n + 4}`),
    );
  });

  it('throws for nothing that a packet holds', () => {
    const { receive } = receiver();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(receive.receive(Buffer.from(bytes), meta)).toBeNull();
      }),
    );
  });
});
