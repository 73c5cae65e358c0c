import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { encodeCarp } from '../../src/protocol/carp.ts';
import { packIPv4 } from '../../src/protocol/ip-address.ts';
import { internetChecksum } from '../../src/protocol/ipv4.ts';
import { needs } from '../support/needs.ts';
import { SegmentLab } from '../support/segment-lab.ts';

/** Of 20: where other programs leave the reader no processor, the system drops some of both. */
const LEAST_HEARD = 12;
/** The flood needs a processor of its own to be as fast as it should. */
const LEAST_SENT = 0.2;
const address = '10.77.0.100';
const PEER = '10.77.0.1';
const FLOOD = { perSecond: 50_000, ms: 2500 };
const advert = (vhid: number, key: string): Buffer =>
  encodeCarp({
    ...{ vhid, key: Buffer.from(key), advbase: 1, advskew: 0, counter: 1n },
    ...{ addresses4: [address], addresses6: [] },
  });

/** An Ethernet frame as whoever forges it would write it. */
function forged(source: string, payload: Buffer, ttl = 255): string {
  const header = Buffer.from('4500000000004000ff7000000000000000000000', 'hex');
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt8(ttl, 8);
  packIPv4(source).copy(header, 12);
  packIPv4('224.0.0.18').copy(header, 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([Buffer.from('01005e0000120200000000010800', 'hex'), header, payload]).toString('hex');
}

describe.skipIf(needs('root', 'netns', 'ip', 'koffi', 'raw-socket'))('50,000 forged adverts a second', () => {
  let lab: SegmentLab;
  beforeAll(async () => {
    lab = await SegmentLab.make();
  });
  afterAll(() => lab.close());

  const wrong = advert(7, 'guessed');
  it.each([
    ['of other ids', ['unknown-id'], [forged(PEER, advert(9, 'x'))]],
    [
      'from everywhere',
      ['rate-limit', 'hmac'],
      Array.from({ length: 500 }, (_, n) => forged(`10.66.${n >> 8}.${n & 255}`, wrong)),
    ],
    ['in the name of the peer', ['hmac'], [forged(PEER, wrong)]],
    [
      'of every kind',
      ['unknown-id', 'rate-limit', 'hmac', 'ttl', 'short', 'carp-checksum'],
      [
        ...[forged(PEER, advert(9, 'x')), forged('10.77.0.9', wrong), forged(PEER, wrong)],
        ...[forged(PEER, wrong, 64), forged(PEER, Buffer.of(0x21, 7))],
        forged(PEER, Buffer.from(wrong).fill(0, 6, 8)),
      ],
    ],
  ])('%s are counted and told once, and the adverts of the peer are heard', async (_, reasons, frames) => {
    const [a, b, tap] = [lab.advertNode('a'), lab.advertNode('b'), await lab.wireTap('a')];
    for (const node of [a, b]) {
      node.tell({ open: 'adverts', options: { transport: 'raw', interface: 'lan0', id: 7 } });
      await node.says('opened');
    }
    b.tell({ judge: 'adverts', vhid: 7, key: 'secret', addresses: [`${address}/24`] });
    const hex = advert(7, 'secret').toString('hex');
    a.tell({ send: 'adverts', hex });
    await b.says('heard');
    tap.tell({ flood: frames, ...FLOOD });
    await tap.says('flooding');
    const before = b.lines.length;
    a.tell({ send: 'adverts', hex, times: 20, everyMs: 100 });
    const { flooded } = await tap.says('flooded');
    b.tell({ counters: 'adverts' });
    const counters = (await b.says('counters', 10_000, before))['counters'] as Record<string, number>;
    expect(flooded).toBeGreaterThan((LEAST_SENT * (FLOOD.perSecond * FLOOD.ms)) / 1000);
    const heard = b.lines.slice(before).filter((line) => line.startsWith('{"heard"')).length;
    expect(heard).toBeGreaterThanOrEqual(LEAST_HEARD);
    expect(Object.keys(counters)).toEqual(expect.arrayContaining(reasons));
    const told = b.lines.filter((line) => line.startsWith('{"log"'));
    expect(told.length).toBeLessThanOrEqual(reasons.length);
    expect(new Set(told).size).toBe(told.length);
    for (const talker of [a, b, tap]) await talker.kill('SIGKILL');
  });
});
