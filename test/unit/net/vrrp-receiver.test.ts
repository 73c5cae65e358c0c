import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createVrrpReceiver } from '../../../src/net/vrrp-receiver.ts';
import { encodeCarp } from '../../../src/protocol/carp.ts';
import { encodeVrrp } from '../../../src/protocol/vrrp.ts';
import type { VrrpMessage } from '../../../src/protocol/vrrp.ts';

const way = { source: '10.0.0.2', destination: '224.0.0.18' };
const meta = { ...way, ttl: 255, at: 1000 };
const v3: VrrpMessage = {
  version: 3,
  family: 4,
  vrid: 7,
  priority: 150,
  intervalMs: 100,
  addresses: ['10.0.0.100'],
  password: null,
};
const v2: VrrpMessage = { ...v3, version: 2, intervalMs: 1000, password: Buffer.from('s3cret') };
const v6: VrrpMessage = { ...v3, family: 6, addresses: ['fe80::100', 'fd00::100'] };
const way6 = { source: 'fe80::2', destination: 'ff02::12' };

function receiver(options: Partial<Parameters<typeof createVrrpReceiver>[0]> = {}) {
  const lines: string[] = [];
  const receive = createVrrpReceiver({
    vrid: 7,
    version: 3,
    family: 4,
    intervalMs: 1000,
    password: null,
    addresses: ['10.0.0.100/24'],
    ownAddresses: () => new Set(['10.0.0.1', 'fe80::1']),
    log: (_level, message) => lines.push(message),
    ...options,
  });
  return { receive, lines };
}
const plain = (message: VrrpMessage): Buffer => encodeVrrp(message, 'plain', null);
const pseudo = (message: VrrpMessage): Buffer => encodeVrrp(message, 'pseudo', way);

describe('a VRRP receiver', () => {
  it('lets a valid advert through, whatever its interval in version 3, and learns its checksum', () => {
    const { receive } = receiver();
    expect(receive.checksum()).toBeNull();
    expect(receive.receive(pseudo(v3), meta)).toEqual({
      says: { protocol: 'vrrp', priority: 150, intervalMs: 100 },
      source: '10.0.0.2',
      at: 1000,
    });
    expect(receive.checksum()).toBe('pseudo');
    receive.receive(plain({ ...v3, intervalMs: 2000 }), meta);
    expect(receive.checksum()).toBe('plain');
    expect(receive.counters()).toEqual({ accepted: 2 });
  });

  it('takes version 2 with the password that it has', () => {
    const { receive } = receiver({ version: 2, password: Buffer.from('s3cret') });
    expect(receive.receive(plain(v2), meta)).not.toBeNull();
  });

  it('takes IPv6 with the destination that the system tells, or any that it may have had', () => {
    const { receive } = receiver({ family: 6, addresses: ['fd00::100/64', 'fe80::100/64'] });
    const packet = encodeVrrp(v6, 'pseudo', way6);
    expect(receive.receive(packet, { ...meta, ...way6 })).not.toBeNull();
    expect(receive.receive(packet, { ...meta, ...way6, destination: null })).not.toBeNull();
    const unicast = encodeVrrp(v6, 'pseudo', { ...way6, destination: 'fe80::1' });
    expect(receive.receive(unicast, { ...meta, ...way6, destination: null })).not.toBeNull();
    expect(receive.receive(unicast, { ...meta, ...way6 })).toBeNull();
    expect(receive.counters()).toEqual({ accepted: 3, 'vrrp-checksum': 1 });
  });

  it('needs no addresses in the checksum where the transport has none', () => {
    const bare = receiver({ family: 6, bare: true, addresses: ['fe80::100/64', 'fd00::100/64'] }).receive;
    const from = { source: 'fd00::2', destination: null, ttl: null, at: 1000 };
    expect(bare.receive(encodeVrrp(v6, 'pseudo', null), from)).not.toBeNull();
  });

  it.each([
    ['own-source', pseudo(v3), { source: '10.0.0.1' }, {}, 0],
    ['ttl', pseudo(v3), { ttl: 254 }, {}, 1],
    ['other-vrid', pseudo({ ...v3, vrid: 8 }), {}, {}, 0],
    ['vrrp-short', pseudo(v3).subarray(0, 7), {}, {}, 1],
    ['vrrp-length', pseudo(v3).subarray(0, 10), {}, {}, 1],
    ['vrrp-checksum', Buffer.from(pseudo(v3)).fill(0, 6, 8), {}, {}, 1],
    ['vrrp-version', plain(v2), {}, {}, 1],
    ['auth', plain({ ...v2, password: Buffer.from('other') }), {}, { version: 2 as const }, 1],
    ['auth', plain(v2), {}, { version: 2 as const }, 1],
    ['auth', plain({ ...v2, password: null }), {}, { version: 2 as const, password: Buffer.from('x') }, 1],
    ['interval', plain({ ...v2, password: null, intervalMs: 2000 }), {}, { version: 2 as const }, 1],
    [
      'other-protocol',
      encodeCarp({
        vhid: 7,
        advbase: 1,
        advskew: 0,
        counter: 1n,
        key: Buffer.from('x'),
        addresses4: ['10.0.0.100'],
        addresses6: [],
      }),
      {},
      { version: 2 as const },
      1,
    ],
  ])('counts %s', (reason, packet, change, options, linesPerReason) => {
    const { receive, lines } = receiver(options);
    for (let n = 0; n < 3; n += 1) expect(receive.receive(packet, { ...meta, ...change })).toBeNull();
    expect(receive.counters()).toEqual({ accepted: 0, [reason]: 3 });
    expect(lines).toHaveLength(linesPerReason);
  });

  it('takes an advert for other addresses, as two masters would be worse, and says so once', () => {
    const { receive, lines } = receiver();
    const packet = pseudo({ ...v3, addresses: ['10.0.0.101'] });
    for (let n = 0; n < 3; n += 1) expect(receive.receive(packet, meta)).not.toBeNull();
    expect(receive.counters()).toEqual({ accepted: 3, 'address-list': 3 });
    expect(lines).toEqual([expect.stringContaining('10.0.0.101 from 10.0.0.2 are not our addresses')]);
  });

  it('throws for nothing that a packet holds', () => {
    const { receive } = receiver();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        receive.receive(Buffer.from(bytes), meta);
      }),
    );
  });
});
