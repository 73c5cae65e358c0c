import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createCarpReceiver } from '../../../src/net/carp-receiver.ts';
import { encodeCarp } from '../../../src/protocol/carp.ts';
import { internetChecksum } from '../../../src/protocol/ipv4.ts';

const key = Buffer.from('s3cret');
const addresses = ['10.0.0.100/24'];
const meta = { source: '10.0.0.2', destination: '224.0.0.18', ttl: 255, at: 1000 };
const good = encodeCarp({
  vhid: 7,
  advskew: 100,
  advbase: 1,
  counter: 42n,
  key,
  addresses4: ['10.0.0.100'],
  addresses6: [],
});
const changed = (change: (packet: Buffer) => void): Buffer => {
  const packet = Buffer.from(good);
  change(packet);
  packet.writeUInt16BE(0, 6);
  packet.writeUInt16BE(internetChecksum(packet), 6);
  return packet;
};

function receiver(): { receive: ReturnType<typeof createCarpReceiver>; lines: string[] } {
  const lines: string[] = [];
  const receive = createCarpReceiver({
    vhid: 7,
    key,
    addresses,
    ownAddresses: () => new Set(['10.0.0.1']),
    log: (_level, message) => lines.push(message),
  });
  return { receive, lines };
}

describe('a CARP receiver', () => {
  it('lets a valid advert through with who sent it and when', () => {
    const { receive } = receiver();
    expect(receive.receive(good, meta)).toEqual({
      advbase: 1,
      advskew: 100,
      demote: 0,
      counter: 42n,
      source: '10.0.0.2',
      at: 1000,
    });
    expect(receive.counters()).toEqual({ accepted: 1 });
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

  it('throws for nothing that a packet holds', () => {
    const { receive } = receiver();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(receive.receive(Buffer.from(bytes), meta)).toBeNull();
      }),
    );
  });
});
