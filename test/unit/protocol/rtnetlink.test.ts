import { describe, expect, it } from 'vitest';

import {
  decodeAcknowledgement,
  encodeDeleteAddress,
  encodeNewAddress,
} from '../../../src/protocol/rtnetlink.ts';

const V4 = { address: '10.77.0.100', prefix: 24, interfaceIndex: 3 };
const V6 = { address: 'fd77::100', prefix: 64, interfaceIndex: 3 };
const OPTIONS = { label: null, deprecated: false, dad: true };
const hex = (bytes: Buffer): string => bytes.toString('hex');

// Fields and flags are those of iproute2's requests for the same commands, seen with strace; the order of attributes is free.
describe('a request for the kernel', () => {
  it('puts an IPv4 address on an interface with its label', () => {
    expect(hex(encodeNewAddress({ ...V4, ...OPTIONS, label: 'eth0:ha' }, 7))).toBe(
      '34000000140005050700000000000000' +
        '0218000003000000' +
        '080002000a4d0064' +
        '080001000a4d0064' +
        '0c000300657468303a686100',
    );
  });

  it('puts an IPv6 address on it without asking around, and not to be chosen as source', () => {
    const asked = encodeNewAddress({ ...V6, ...OPTIONS, dad: false, deprecated: true }, 1);
    const address = 'fd770000000000000000000000000100';
    expect(hex(asked)).toBe(
      '54000000140005050100000000000000' +
        '0a40020003000000' +
        `14000200${address}` +
        `14000100${address}` +
        '1400060000000000ffffffff0000000000000000',
    );
  });

  it('takes an address off', () => {
    expect(hex(encodeDeleteAddress(V4, 2))).toBe(
      '28000000150005000200000000000000' + '0218000003000000' + '080002000a4d0064' + '080001000a4d0064',
    );
  });
});

describe('the answer of the kernel', () => {
  const answer = (errno: number, seq: number, type = 2): Buffer => {
    const bytes = Buffer.alloc(36);
    bytes.writeUInt32LE(36, 0);
    bytes.writeUInt16LE(type, 4);
    bytes.writeUInt32LE(seq, 8);
    bytes.writeInt32LE(-errno, 16);
    return bytes;
  };

  it('is success, an errno, or meant for another request', () => {
    expect(decodeAcknowledgement(answer(0, 5), 5)).toBe(0);
    expect(decodeAcknowledgement(answer(99, 5), 5)).toBe(99);
    expect(decodeAcknowledgement(answer(0, 4), 5)).toBeNull();
    expect(decodeAcknowledgement(answer(0, 5, 20), 5)).toBeNull();
  });

  it('that is too short is refused', () => {
    expect(() => decodeAcknowledgement(answer(0, 5).subarray(0, 19), 5)).toThrow('too short');
  });
});
