import { describe, expect, it } from 'vitest';

import { encodeGratuitousArp, encodeNeighbourAdvert } from '../../../src/protocol/announce-frames.ts';
import { internetChecksum } from '../../../src/protocol/ipv4.ts';

const mac = Buffer.from('020000000001', 'hex');

describe('a gratuitous ARP', () => {
  it('is a broadcast request for the own address', () => {
    expect(encodeGratuitousArp(mac, '10.0.0.100').toString('hex')).toBe(
      [
        'ffffffffffff 020000000001 0806',
        '0001 0800 06 04 0001',
        '020000000001 0a000064 ffffffffffff 0a000064',
      ]
        .join('')
        .replaceAll(' ', ''),
    );
  });
});

describe('an unsolicited neighbour advertisement', () => {
  const frame = encodeNeighbourAdvert(mac, 'fd00::100');

  it('goes to all nodes with hop limit 255, override set, and the own hardware address', () => {
    const hex = frame.toString('hex');
    expect(hex.slice(0, 28)).toBe('33330000000102000000000186dd');
    expect(hex.slice(28, 44)).toBe('6000000000203aff');
    expect(hex.slice(44, 76)).toBe('fd000000000000000000000000000100');
    expect(hex.slice(76, 108)).toBe('ff020000000000000000000000000001');
    expect(hex.slice(108, 112)).toBe('8800');
    expect(hex.slice(116, 124)).toBe('20000000');
    expect(hex.slice(124)).toBe('fd000000000000000000000000000100' + '0201020000000001');
  });

  it('sets the router bit for a router', () => {
    expect(encodeNeighbourAdvert(mac, 'fd00::100', true)[14 + 40 + 4]).toBe(0xa0);
  });

  it('carries the checksum over its pseudo header', () => {
    const icmp = frame.subarray(54);
    const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, icmp.length, 0, 0, 0, 58])]);
    expect(internetChecksum(pseudo, icmp)).toBe(0);
  });
});
