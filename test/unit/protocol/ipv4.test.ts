import { describe, expect, it } from 'vitest';

import { packIPv4, packIPv6, splitFamilies } from '../../../src/protocol/ip-address.ts';
import { decodeIPv4, internetChecksum } from '../../../src/protocol/ipv4.ts';

/** The IP header of a captured ucarp advert. */
const header = Buffer.from('451000387ada4000ff70160b0a4d0001e0000012', 'hex');

describe('an IPv4 header', () => {
  it('is decoded from a captured advert', () => {
    expect(decodeIPv4(header)).toEqual({
      headerBytes: 20,
      ttl: 255,
      protocol: 112,
      source: '10.77.0.1',
      destination: '224.0.0.18',
    });
  });

  it('may have options', () => {
    const withOptions = Buffer.concat([Buffer.from([0x46]), header.subarray(1), Buffer.alloc(4)]);
    expect(decodeIPv4(withOptions).headerBytes).toBe(24);
  });

  it('is refused when cut at any byte, with a short length field, or as IPv6', () => {
    for (let length = 0; length < header.length; length += 1) {
      expect(() => decodeIPv4(header.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'ipv4-short' }),
      );
    }
    const ihl4 = Buffer.from(header);
    ihl4[0] = 0x44;
    expect(() => decodeIPv4(ihl4)).toThrow(expect.objectContaining({ code: 'ipv4-short' }));
    const ihl15 = Buffer.from(header);
    ihl15[0] = 0x4f;
    expect(() => decodeIPv4(ihl15)).toThrow(expect.objectContaining({ code: 'ipv4-short' }));
    const v6 = Buffer.from(header);
    v6[0] = 0x60;
    expect(() => decodeIPv4(v6)).toThrow(expect.objectContaining({ code: 'ipv4-version' }));
  });
});

describe('the internet checksum', () => {
  it('is zero over a header that holds its own', () => {
    expect(internetChecksum(header)).toBe(0);
  });

  it.each([
    ['nothing', [], 0xffff],
    ['an odd byte', [Buffer.from([0x12])], ~0x1200 & 0xffff],
    ['carries', [Buffer.from('ffffffff0001', 'hex')], 0xfffe],
    ['parts as one', [Buffer.from('0001', 'hex'), Buffer.from('f203f4f5f6f7', 'hex')], 0x220d],
  ])('of %s is right', (_what, parts, wanted) => {
    expect(internetChecksum(...parts)).toBe(wanted);
  });
});

describe('an address', () => {
  it.each([
    ['fd77::100', 'fd770000000000000000000000000100'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['fe80::', 'fe800000000000000000000000000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:10.0.0.1', '00000000000000000000ffff0a000001'],
    ['fe80::1:2%em0', 'fe800000000000000000000000010002'],
  ])('%s is packed', (text, hex) => {
    expect(packIPv6(text).toString('hex')).toBe(hex);
  });

  it.each(['', '1', ':1', '1:2:3:4:5:6:7', '1::2::3', '1:2:3:4:5:6:7::8', 'g::', '12345::', '::1.2.3'])(
    '%s is no IPv6 address',
    (text) => {
      expect(() => packIPv6(text)).toThrow(expect.objectContaining({ code: 'ip-address' }));
    },
  );

  it.each(['', '1.2.3', '1.2.3.256', '1.2.3.4.5', '01.2.3.4', '1.2.3.x', '::1'])(
    '%s is no IPv4 address',
    (text) => {
      expect(() => packIPv4(text)).toThrow(expect.objectContaining({ code: 'ip-address' }));
    },
  );

  it('list is split by family and loses its prefix lengths', () => {
    expect(splitFamilies(['10.0.0.1/24', 'fd00::1/64', '10.0.0.2'])).toEqual({
      addresses4: ['10.0.0.1', '10.0.0.2'],
      addresses6: ['fd00::1'],
    });
  });
});
