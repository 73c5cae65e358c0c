import { describe, expect, it } from 'vitest';

import { encodeGratuitousArp, encodeNeighbourAdvert } from '../../../src/protocol/announce-frames.ts';
import {
  claimInAdvert,
  claimInArp,
  encodeArpProbe,
  encodeNeighbourProbe,
} from '../../../src/protocol/claim-frames.ts';
import { internetChecksum } from '../../../src/protocol/ipv4.ts';

const mac = Buffer.from('020000000001', 'hex');
const MAC = '02:00:00:00:00:01';
const hex = (...parts: readonly string[]): string => parts.join('').replaceAll(' ', '');

/** It is seen in the whole frame, padded as on the wire, in no part of it, nor when one of these bytes is another. */
function expectOnly(frame: Buffer, claimIn: (frame: Buffer) => unknown, bytes: readonly number[]): void {
  const claim = claimIn(frame);
  expect(claim).not.toBeNull();
  expect(claimIn(Buffer.concat([frame, Buffer.alloc(18)]))).toEqual(claim);
  for (const at of bytes) {
    const other = Buffer.from(frame);
    other.writeUInt8((other[at] ?? 0) ^ 0xff, at);
    expect(claimIn(other), `byte ${at}`).toBeNull();
  }
}

describe('an ARP probe', () => {
  const probe = encodeArpProbe(mac, '10.0.0.100');

  it('asks everybody from nobody', () => {
    expect(probe.toString('hex')).toBe(
      hex(
        'ffffffffffff 020000000001 0806',
        '0001 0800 06 04 0001',
        '020000000001 00000000 000000000000 0a000064',
      ),
    );
  });

  it('says of nobody that it has an address, and an answer says of whom', () => {
    expect(claimInArp(probe)).toBeNull();
    const answer = encodeGratuitousArp(mac, '10.0.0.100');
    answer.writeUInt16BE(2, 20);
    expect(claimInArp(answer)).toEqual({ mac: MAC, address: '10.0.0.100' });
    expectOnly(answer, claimInArp, [12, 13, 14, 15, 16, 17, 18, 19]);
    for (let length = 0; length < answer.length; length += 1)
      expect(claimInArp(answer.subarray(0, length))).toBeNull();
    expect(claimInArp(encodeNeighbourAdvert(mac, 'fd00::100'))).toBeNull();
  });
});

describe('a neighbour probe', () => {
  const probe = encodeNeighbourProbe(mac, 'fd00::12:3456');

  it('asks the group of the address from nobody, with hop limit 255', () => {
    expect(probe.toString('hex')).toBe(
      hex(
        '3333ff123456 020000000001 86dd',
        '60000000 0018 3a ff',
        '00000000000000000000000000000000 ff0200000000000000000001ff123456',
        `8700${probe.toString('hex', 56, 58)}00000000`,
        'fd000000000000000000000000123456',
      ),
    );
    const icmp = probe.subarray(54);
    const pseudo = Buffer.concat([probe.subarray(22, 54), Buffer.from([0, 0, 0, icmp.length, 0, 0, 0, 58])]);
    expect(internetChecksum(pseudo, icmp)).toBe(0);
  });

  it('says of nobody that it has an address, and an advertisement says of whom', () => {
    expect(claimInAdvert(probe)).toBeNull();
    const advert = encodeNeighbourAdvert(mac, 'fd00:0:0::12:3456');
    expect(claimInAdvert(advert)).toEqual({ mac: MAC, address: 'fd00::12:3456' });
    // Type, next header, hop limit (of another link), ICMP type and code.
    expectOnly(advert, claimInAdvert, [12, 13, 20, 21, 54, 55]);
    for (let length = 0; length < 78; length += 1)
      expect(claimInAdvert(advert.subarray(0, length))).toBeNull();
    expect(claimInAdvert(encodeGratuitousArp(mac, '10.0.0.100'))).toBeNull();
  });
});
