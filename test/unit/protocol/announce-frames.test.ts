import { describe, expect, it } from 'vitest';

import {
  encodeArpProbe,
  encodeGratuitousArp,
  encodeNeighbourAdvert,
  senderOfArp,
} from '../../../src/protocol/announce-frames.ts';
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

describe('an ARP probe', () => {
  const probe = encodeArpProbe(mac, '10.0.0.100');

  it('asks everybody from nobody', () => {
    expect(probe.toString('hex')).toBe(
      [
        'ffffffffffff 020000000001 0806',
        '0001 0800 06 04 0001',
        '020000000001 00000000 000000000000 0a000064',
      ]
        .join('')
        .replaceAll(' ', ''),
    );
  });

  it('says of nobody that it has an address, and an answer says of whom', () => {
    expect(senderOfArp(probe)).toBeNull();
    const answer = encodeGratuitousArp(mac, '10.0.0.100');
    answer.writeUInt16BE(2, 20);
    const padded = Buffer.concat([answer, Buffer.alloc(18)]);
    const sender = { mac: '02:00:00:00:00:01', address4: '10.0.0.100' };
    expect([senderOfArp(answer), senderOfArp(padded)]).toEqual([sender, sender]);
  });

  it('is told from every other frame', () => {
    const answer = encodeGratuitousArp(mac, '10.0.0.100');
    for (let length = 0; length < answer.length; length += 1)
      expect(senderOfArp(answer.subarray(0, length))).toBeNull();
    for (let at = 12; at < 20; at += 1) {
      const other = Buffer.from(answer);
      other.writeUInt8((other[at] ?? 0) ^ 0xff, at);
      expect(senderOfArp(other)).toBeNull();
    }
    expect(senderOfArp(encodeNeighbourAdvert(mac, 'fd00::100'))).toBeNull();
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
