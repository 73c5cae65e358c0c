import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { WireError } from '../../../src/model/errors.ts';
import { packIPv4, packIPv6, unpackAddress } from '../../../src/protocol/ip-address.ts';
import { decodeIPv4, internetChecksum } from '../../../src/protocol/ipv4.ts';
import { decodeVrrp, encodeVrrp, vrrpPasswordFits } from '../../../src/protocol/vrrp.ts';
import type { VrrpMessage, VrrpWay } from '../../../src/protocol/vrrp.ts';
import { eachMutation } from '../../support/mutations.ts';

interface Captured {
  id: string;
  inputs: {
    version: 2 | 3;
    vrid: number;
    priority: number;
    advertIntSeconds: number;
    authPass: string | null;
    vips: string[];
    src: string;
    dst: string;
    family: 4 | 6;
  };
  expect: { payloadHex: string; checksumHex: string };
  observed: { frameHex: string };
}
const file = new URL('../../vectors/vrrp/vrrp-keepalived.json', import.meta.url);
const vectors = (JSON.parse(readFileSync(file, 'utf8')) as { vectors: Captured[] }).vectors.map(
  ({ id, inputs, expect: wanted, observed }) => ({
    name: id,
    message: {
      version: inputs.version,
      family: inputs.family,
      vrid: inputs.vrid,
      priority: inputs.priority,
      intervalMs: Math.round(inputs.advertIntSeconds * 1000),
      addresses: inputs.vips,
      password: inputs.authPass === null ? null : Buffer.from(inputs.authPass),
    } satisfies VrrpMessage,
    way: { source: inputs.src, destination: inputs.dst } satisfies VrrpWay,
    bytes: Buffer.from(wanted.payloadHex, 'hex'),
    frame: Buffer.from(observed.frameHex, 'hex'),
  }),
);
type Vector = (typeof vectors)[number];
const named = (name: string): Vector => {
  const found = vectors.find((vector) => vector.name === name);
  if (found === undefined) throw new Error(`no vector ${name}`);
  return found;
};
const v2 = named('v2a-prio100');
const v3 = named('v3b-prio255');
const v6 = named('v6a-prio100');

const codeOf = (bytes: Buffer, { message, way }: Vector): string => {
  try {
    decodeVrrp(bytes, message.family, [way]);
  } catch (error) {
    if (error instanceof WireError) return error.code;
    throw error;
  }
  return 'ok';
};
/** With a plain checksum, which both versions over IPv4 accept. */
const mended = (packet: Buffer): Buffer => {
  if (packet.length < 8) return packet;
  packet.writeUInt16BE(0, 6);
  packet.writeUInt16BE(internetChecksum(packet), 6);
  return packet;
};
const withBytes = (vector: Vector, at: number, ...values: number[]): Buffer => {
  const copy = Buffer.from(vector.bytes);
  copy.set(values, at);
  return mended(copy);
};

describe('a VRRP advert of keepalived', () => {
  it('was captured in both versions, families, with and without password, at priorities 0 and 255', () => {
    expect(vectors).toHaveLength(24);
    const kinds = new Set(vectors.map(({ message: m }) => `${m.version}/${m.family}/${m.password !== null}`));
    expect([...kinds].sort()).toEqual(['2/4/false', '2/4/true', '3/4/false', '3/6/false']);
  });

  it.each(vectors)('$name is encoded byte for byte', ({ message, way, bytes }) => {
    expect(encodeVrrp(message, 'pseudo', way).toString('hex')).toBe(bytes.toString('hex'));
  });

  it.each(vectors)('$name is decoded to what keepalived was told', ({ message, way, bytes }) => {
    const { password, addresses, ...fields } = message;
    const advert = decodeVrrp(bytes, message.family, [way]);
    expect(advert).toMatchObject({ ...fields, checksum: message.version === 2 ? 'plain' : 'pseudo' });
    const pack = message.family === 4 ? packIPv4 : packIPv6;
    expect(advert.addresses.map(pack)).toEqual(addresses.map(pack));
    expect(vrrpPasswordFits(advert, password)).toBe(true);
    expect(vrrpPasswordFits(advert, Buffer.from('other'))).toBe(false);
    expect(vrrpPasswordFits(advert, password === null ? Buffer.alloc(0) : null)).toBe(false);
  });

  it.each(vectors.filter(({ message }) => message.family === 4))(
    '$name is found in its frame by the IP header',
    ({ message, way, frame, bytes }) => {
      const datagram = frame.subarray(14);
      const header = decodeIPv4(datagram);
      expect(header).toMatchObject({ protocol: 112, ...way });
      expect(datagram.subarray(header.headerBytes).equals(bytes)).toBe(true);
      expect(decodeVrrp(datagram.subarray(header.headerBytes), 4, [header]).vrid).toBe(message.vrid);
    },
  );

  it.each(vectors)('$name is refused when it is cut at any byte or longer', (vector) => {
    for (let length = 0; length < vector.bytes.length; length += 1) {
      expect(codeOf(vector.bytes.subarray(0, length), vector)).toBe(
        length < 8 ? 'vrrp-short' : 'vrrp-length',
      );
    }
    expect(codeOf(Buffer.concat([vector.bytes, Buffer.alloc(1)]), vector)).toBe('vrrp-length');
  });

  it.each(vectors)('$name is refused with any bit of it flipped', (vector) => {
    for (let bit = 0; bit < vector.bytes.length * 8; bit += 1) {
      const copy = Buffer.from(vector.bytes);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(codeOf(copy, vector)).not.toBe('ok');
    }
  });
});

describe('the checksum of version 3', () => {
  it('is told by what verifies', () => {
    const plain = encodeVrrp(v3.message, 'plain', v3.way);
    expect(decodeVrrp(plain, 4, [v3.way]).checksum).toBe('plain');
    expect(decodeVrrp(v3.bytes, 4, [v3.way]).checksum).toBe('pseudo');
    expect(decodeVrrp(plain, 4, []).checksum).toBe('plain');
    expect(() => decodeVrrp(v3.bytes, 4, [])).toThrow(expect.objectContaining({ code: 'vrrp-checksum' }));
  });

  it('fits any of the ways that the packet may have come', () => {
    const other = { source: v6.way.source, destination: 'fe80::1' };
    expect(decodeVrrp(v6.bytes, 6, [other, v6.way]).vrid).toBe(41);
    expect(() => decodeVrrp(v6.bytes, 6, [other])).toThrow(
      expect.objectContaining({ code: 'vrrp-checksum' }),
    );
  });

  it('covers the addresses over IPv6 always, except where the transport has none', () => {
    const plain = encodeVrrp(v6.message, 'pseudo', null);
    expect(codeOf(plain, v6)).toBe('vrrp-checksum');
    expect(decodeVrrp(plain, 6, []).checksum).toBe('plain');
  });
});

describe('a VRRP advert', () => {
  it.each([
    ['version 4', withBytes(v3, 0, 0x41), v3, 'vrrp-version'],
    ['version 2 over IPv6', withBytes(v6, 0, 0x21), v6, 'vrrp-version'],
    ['another type', withBytes(v3, 0, 0x32), v3, 'vrrp-type'],
    ['vrid 0', withBytes(v3, 1, 0), v3, 'vrrp-vrid'],
    ['no address', withBytes(v3, 3, 0), v3, 'vrrp-count'],
    ['more addresses than bytes', withBytes(v2, 3, 2), v2, 'vrrp-length'],
    ['authentication type 2', withBytes(v2, 4, 2), v2, 'vrrp-auth-type'],
    ['interval 0 in version 2', withBytes(v2, 5, 0), v2, 'vrrp-interval'],
    ['interval 0 in version 3', withBytes(v3, 4, 0xf0, 0), v3, 'vrrp-interval'],
    ['a CARP advert', Buffer.from(`2101${'00'.repeat(34)}`, 'hex').fill(7, 3, 4), v2, 'vrrp-length'],
  ])('with %s is refused', (_what, bytes, vector, code) => {
    expect(codeOf(bytes, vector)).toBe(code);
  });

  it('of version 3 may have anything in its reserved bits', () => {
    expect(decodeVrrp(withBytes(v3, 4, 0xf0, 10), 4, [v3.way]).intervalMs).toBe(100);
  });

  it.each([
    ['vrid', { vrid: 0 }],
    ['priority', { priority: 256 }],
    ['addresses', { addresses: [] }],
    ['hundredths', { intervalMs: 15 }],
    ['hundredths', { intervalMs: 40_960 }],
    ['seconds', { version: 2 as const, intervalMs: 1500 }],
    ['IPv6', { version: 2 as const, family: 6 as const }],
  ])('is not encoded with %s out of range', (field, change) => {
    expect(() => encodeVrrp({ ...v3.message, ...change }, 'pseudo', v3.way)).toThrow(field);
  });

  it('is refused with a reason or means the same when encoded again, for 120,000 mutations', () => {
    const outcomes = new Map<string, number>();
    const samples = vectors.map(({ bytes }) => bytes);
    const options = { seed: 112, count: 120_000, mend: (packet: Buffer): void => void mended(packet) };
    const ways = [v3.way];
    eachMutation(samples, options, (packet, sample) => {
      const family = (sample[1] ?? 0) >= 41 && (sample[1] ?? 0) <= 43 ? 6 : 4;
      let outcome = 'ok';
      try {
        const advert = decodeVrrp(packet, family, family === 6 ? [] : ways);
        const again = encodeVrrp({ ...advert, password: advert.authData }, advert.checksum, v3.way);
        if (again.length !== packet.length) throw new Error(`${packet.toString('hex')} changes its length`);
        const { checksum, ...fields } = decodeVrrp(again, family, family === 6 ? [] : ways);
        expect({ ...fields, checksum }).toEqual(advert);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        outcome = error.code;
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    });
    expect([...outcomes.keys()].sort()).toEqual([
      'ok',
      'vrrp-auth-type',
      'vrrp-checksum',
      'vrrp-count',
      'vrrp-interval',
      'vrrp-length',
      'vrrp-short',
      'vrrp-type',
      'vrrp-version',
      'vrrp-vrid',
    ]);
    expect(outcomes.get('ok')).toBeGreaterThan(5000);
  });
});

describe('an address in bytes', () => {
  it.each(['10.77.0.1', '::', '::1', 'fe80::77:141', 'fd77:0:0:1::', '1:2:3:4:5:6:7:8', '1:0:2:0:3:0:4:0'])(
    '%s is written as it is read',
    (text) => {
      expect(unpackAddress(text.includes(':') ? packIPv6(text) : packIPv4(text))).toBe(text);
    },
  );

  it('has 4 or 16 of them', () => {
    expect(() => unpackAddress(Buffer.alloc(5))).toThrow(expect.objectContaining({ code: 'ip-address' }));
  });
});
