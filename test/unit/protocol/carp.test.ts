import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WireError } from '../../../src/model/errors.ts';
import { carpIntervals, decodeCarp, encodeCarp, verifyCarp } from '../../../src/protocol/carp.ts';
import { internetChecksum } from '../../../src/protocol/ipv4.ts';
import { eachMutation } from '../../support/mutations.ts';

interface Captured {
  id: string;
  n: number;
  inputs: {
    vhid: number;
    advskew: number;
    advbase: number;
    passwordHex: string;
    vips: string[];
    counterHex: string;
  };
  expect: { packetHex: string; hmacHex: string };
}
interface Derived {
  id: string;
  inputs: {
    vhid: number;
    advskew: number;
    advbase: number;
    demote: number;
    password: string;
    v4: string[];
    v6: string[];
    linkLocalV6: 'include' | 'exclude';
    counterHex: string;
  };
  expect: { packetHex: string; hmacHex: string };
}

const read = <T>(name: string): T[] => {
  const file = new URL(`../../vectors/carp/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { vectors: T[] }).vectors;
};
const captured = read<Captured>('carp-ucarp').map(({ id, n, inputs, expect: wanted }) => ({
  name: `${id} #${n}`,
  message: {
    vhid: inputs.vhid,
    advskew: inputs.advskew,
    advbase: inputs.advbase,
    demote: 0,
    counter: BigInt(`0x${inputs.counterHex}`),
    key: Buffer.from(inputs.passwordHex, 'hex'),
    addresses4: inputs.vips,
    addresses6: [] as string[],
  },
  addresses6: [] as string[],
  wanted,
}));
const derived = read<Derived>('carp-derived').map(({ id, inputs, expect: wanted }) => ({
  name: id,
  message: {
    vhid: inputs.vhid,
    advskew: inputs.advskew,
    advbase: inputs.advbase,
    demote: inputs.demote,
    counter: BigInt(`0x${inputs.counterHex}`),
    key: Buffer.from(inputs.password),
    addresses4: inputs.v4,
    addresses6: inputs.linkLocalV6 === 'include' ? inputs.v6 : inputs.v6.filter((a) => !a.startsWith('fe80')),
  },
  addresses6: inputs.v6,
  wanted,
}));
const vectors = [...captured, ...derived];
const [sample] = captured;
if (sample === undefined) throw new Error('no vectors');
const packet = Buffer.from(sample.wanted.packetHex, 'hex');

const codeOf = (bytes: Buffer): string => {
  try {
    decodeCarp(bytes);
  } catch (error) {
    if (error instanceof WireError) return error.code;
    throw error;
  }
  return 'ok';
};
const withByte = (at: number, value: number): Buffer => {
  const copy = Buffer.from(packet);
  copy[at] = value;
  copy.writeUInt16BE(0, 6);
  copy.writeUInt16BE(internetChecksum(copy), 6);
  return copy;
};

describe('a CARP advert', () => {
  it('has captured vectors to be measured by', () => {
    expect(captured).toHaveLength(24);
    expect(derived).toHaveLength(5);
  });

  it.each(vectors)('of vector $name is encoded byte for byte', ({ message, wanted }) => {
    expect(encodeCarp(message).toString('hex')).toBe(wanted.packetHex);
  });

  it.each(vectors)('of vector $name is decoded to its inputs', ({ message, wanted }) => {
    const { key: _key, addresses4: _4, addresses6: _6, ...fields } = message;
    expect(decodeCarp(Buffer.from(wanted.packetHex, 'hex'))).toEqual({
      ...fields,
      digest: Buffer.from(wanted.hmacHex, 'hex'),
    });
  });

  it.each(vectors)('of vector $name carries a right digest', ({ message, addresses6, wanted }) => {
    const bytes = Buffer.from(wanted.packetHex, 'hex');
    expect(verifyCarp(bytes, message.key, message.addresses4, addresses6)).toBe(true);
    expect(verifyCarp(bytes, Buffer.from('other'), message.addresses4, addresses6)).toBe(false);
    expect(verifyCarp(bytes, message.key, [...message.addresses4, '10.9.9.9'], addresses6)).toBe(false);
  });

  it('is refused when it is cut at any byte or has bytes too many', () => {
    for (let length = 0; length < packet.length; length += 1) {
      expect(codeOf(packet.subarray(0, length))).toBe('carp-short');
    }
    expect(codeOf(Buffer.concat([packet, Buffer.alloc(1)]))).toBe('carp-long');
    expect(verifyCarp(packet.subarray(0, 20), sample.message.key, sample.message.addresses4, [])).toBe(false);
  });

  it.each([
    ['VRRPv3 first byte', withByte(0, 0x31), 'carp-version'],
    ['another type', withByte(0, 0x22), 'carp-version'],
    ['VRRPv2 address count', withByte(3, 1), 'carp-authlen'],
    ['vhid 0', withByte(1, 0), 'carp-vhid'],
    ['a flipped checksum', Buffer.from(packet).fill(0xff, 6, 8), 'carp-checksum'],
  ])('is refused for %s', (_what, bytes, code) => {
    expect(codeOf(bytes)).toBe(code);
  });

  it('never decodes or verifies with any single bit of counter, digest or vhid changed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, ...Array.from({ length: 28 }, (_, i) => 8 + i)),
        fc.nat(7),
        (at, bit) => {
          const forged = withByte(at, (packet[at] ?? 0) ^ (1 << bit));
          expect(verifyCarp(forged, sample.message.key, sample.message.addresses4, [])).toBe(false);
          const broken = Buffer.from(packet);
          broken[at] = (broken[at] ?? 0) ^ (1 << bit);
          expect(codeOf(broken)).not.toBe('ok');
        },
      ),
    );
  });

  it('survives arbitrary bytes with a typed error or a value that encodes again', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 64 }), (bytes) => {
        expect(codeOf(Buffer.from(bytes))).toMatch(/^(ok|carp-)/);
      }),
    );
  });

  it('is refused with a reason, or true to its digest, for 120,000 mutations', () => {
    const key = sample.message.key;
    const same = captured.filter(({ message }) => message.key.equals(key)).map(({ wanted }) => wanted);
    const samples = same.map(({ packetHex }) => Buffer.from(packetHex, 'hex'));
    const mend = (bytes: Buffer): void => {
      if (bytes.length < 8) return;
      bytes.writeUInt16BE(0, 6);
      bytes.writeUInt16BE(internetChecksum(bytes), 6);
    };
    const outcomes = new Map<string, number>();
    eachMutation(samples, { seed: 1, count: 120_000, mend }, (bytes) => {
      let outcome = codeOf(bytes);
      if (outcome === 'ok' && verifyCarp(bytes, key, sample.message.addresses4, [])) {
        outcome = 'verified';
        // What the digest does not cover may differ, nothing else.
        const covered = (one: Buffer): boolean =>
          one[1] === bytes[1] && one.subarray(8).equals(bytes.subarray(8));
        if (!samples.some(covered)) throw new Error(`forged: ${bytes.toString('hex')}`);
        const again = encodeCarp({ ...sample.message, ...decodeCarp(bytes) });
        if (!again.equals(bytes)) throw new Error(`not encoded again: ${bytes.toString('hex')}`);
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    });
    expect([...outcomes.keys()].sort()).toEqual([
      'carp-authlen',
      'carp-checksum',
      'carp-long',
      'carp-short',
      'carp-version',
      'carp-vhid',
      'ok',
      'verified',
    ]);
  });

  it.each([
    ['vhid', { vhid: 0 }],
    ['vhid', { vhid: 256 }],
    ['advskew', { advskew: 1.5 }],
    ['advbase', { advbase: -1 }],
  ])('is not encoded when %s is out of range', (field, change) => {
    expect(() => encodeCarp({ ...sample.message, ...change })).toThrow(`${field} `);
  });

  it('wraps the counter at 64 bits', () => {
    const wrapped = encodeCarp({ ...sample.message, counter: (1n << 64n) + 5n });
    expect(decodeCarp(wrapped).counter).toBe(5n);
  });
});

describe('carpIntervals', () => {
  it.each([
    [
      { advbase: 1, advskew: 0, demotion: 0 },
      { advIntervalMs: 1000, downIntervalMs: 3000, effectiveSkew: 0 },
    ],
    [
      { advbase: 1, advskew: 128, demotion: 0 },
      { advIntervalMs: 1500, downIntervalMs: 3500, effectiveSkew: 128 },
    ],
    [
      { advbase: 1, advskew: 128, demotion: 240 },
      { advIntervalMs: 1937.5, downIntervalMs: 3500, effectiveSkew: 240 },
    ],
    [
      { advbase: 1, advskew: 16, demotion: -40 },
      { advIntervalMs: 1000, downIntervalMs: 3062.5, effectiveSkew: 0 },
    ],
    [
      { advbase: 0, advskew: 0, demotion: 0 },
      { advIntervalMs: 1000 / 256, downIntervalMs: 3000 / 256, effectiveSkew: 0 },
    ],
    [
      { advbase: 0, advskew: 32, demotion: 0 },
      { advIntervalMs: 125, downIntervalMs: 375, effectiveSkew: 32 },
    ],
  ])('of %j are %j', (settings, wanted) => {
    expect(carpIntervals(settings)).toEqual(wanted);
  });
});
