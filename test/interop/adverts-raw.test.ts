import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { internetChecksum } from '../../src/protocol/ipv4.ts';
import type { AdvertNodeCommand } from '../fixtures/advert-node.ts';
import { needs } from '../support/needs.ts';
import { SegmentLab } from '../support/segment-lab.ts';
import type { Side, Speaker, Way } from '../support/segment-lab.ts';

/** Version and type, vhid 7, then what a CARP advert of 36 bytes may hold. */
const carp = (mark = '00'): string => `2107640700010000${mark.padEnd(56, '0')}`;
const ETHERNET = 28;
const base = { transport: 'raw', interface: 'lan0' } as const;

type Node = Speaker<AdvertNodeCommand>;
type Options = Extract<AdvertNodeCommand, { open: string }>['options'];

describe.skipIf(needs('root', 'netns', 'ip', 'koffi', 'raw-socket'))('adverts by raw sockets', () => {
  let lab: SegmentLab;
  beforeAll(async () => {
    lab = await SegmentLab.make();
  });
  afterEach(() => lab.endProcesses());
  afterAll(() => lab.close());

  async function opened(side: Side, way: Way, options: Partial<Options> = {}): Promise<Node> {
    const node = lab.advertNode(side, way);
    node.tell({ open: 'adverts', options: { ...base, id: 7, ...options } });
    await node.says('opened');
    return node;
  }
  const counters = async (node: Node, name = 'adverts'): Promise<Record<string, number>> => {
    const from = node.lines.length;
    node.tell({ counters: name });
    return (await node.says('counters', 5000, from))['counters'] as Record<string, number>;
  };

  describe.each(['koffi', 'raw-socket'] as const)('read by %s', (way) => {
    it('arrive from the group with TTL 255, from the own address, marked and unfragmented', async () => {
      const tap = await lab.wireTap('b');
      const [a, b] = [await opened('a', way), await opened('b', way)];
      a.tell({ send: 'adverts', hex: carp() });
      expect(await b.says('heard')).toMatchObject({
        ...{ hex: carp(), source: '10.77.0.1', destination: '224.0.0.18', ttl: 255 },
      });
      const header = String((await tap.says('frame'))['frame']).slice(ETHERNET, ETHERNET + 40);
      expect(header.slice(2, 4)).toBe('e0');
      expect(header.slice(12, 14)).toBe('40');
      // Its own packets do not come back.
      expect((await counters(a))['received']).toBe(0);
    });

    it('arrive over IPv6 from the link-local address, with the hop limit where it can be seen', async () => {
      const [a, b] = [await opened('a', way, { family: 6 }), await opened('b', way, { family: 6 })];
      a.tell({ send: 'adverts', hex: carp() });
      const seen = way === 'koffi' ? { destination: 'ff02::12', ttl: 255 } : { destination: null, ttl: null };
      expect(await b.says('heard')).toMatchObject({ hex: carp(), source: 'fe80::1', ...seen });
      const { note } = await b.says('opened');
      if (way === 'koffi') expect(note).toBeNull();
      else expect(note).toMatch(/hop limit/);
    });

    it('go to the peers when there are some, and nobody else is heard', async () => {
      const b = await opened('b', way, { unicast: ['10.77.0.1'] });
      const deaf = { ...base, id: 7, unicast: ['10.77.0.9', '10.77.0.8'] };
      b.tell({ open: 'deaf', options: deaf });
      await b.says('opened', 5000, 1);
      const a = await opened('a', way, { unicast: ['10.77.0.2'] });
      a.tell({ send: 'adverts', hex: carp('bb') });
      expect(await b.says('heard')).toMatchObject({
        ...{ heard: 'adverts', hex: carp('bb'), source: '10.77.0.1', destination: '10.77.0.2', ttl: 255 },
      });
      expect(await counters(b, 'deaf')).toMatchObject({ 'not-a-peer': 1 });
    });

    it('that wait behind a standstill are all delivered by a drain', async () => {
      const [a, b] = [await opened('a', way), await opened('b', way)];
      b.tell({ stall: 'adverts', ms: 400 });
      await b.says('stalling');
      a.tell({ send: 'adverts', hex: carp(), times: 40 });
      await b.says('drained');
      expect(b.lines.filter((line) => line.includes('"heard"')).length).toBe(40);
      expect(b.lines.findIndex((line) => line.includes('"drained"'))).toBe(b.lines.length - 1);
    });

    it('are heard on after the garbage was collected, and when one listener threw', async () => {
      const [a, b] = [await opened('a', way), await opened('b', way)];
      b.tell({ collectGarbage: true });
      expect(await b.says('collected')).toEqual({ collected: true });
      b.tell({ throwOnce: 'adverts' });
      await counters(b);
      a.tell({ send: 'adverts', hex: carp('11') });
      expect(await b.says('uncaught')).toEqual({ uncaught: 'a listener threw' });
      a.tell({ send: 'adverts', hex: carp('22') });
      expect(await b.says('heard')).toMatchObject({ hex: carp('22') });
    });

    it.each([4, 6] as const)(
      'of IPv%i go on when the interface was removed and made anew',
      async (family) => {
        const [a, b] = [await opened('a', way, { family }), await opened('b', way, { family })];
        await lab.ip('a', 'link', 'del', 'lan0');
        await lab.makeLink();
        await a.says('log', 5000);
        await b.says('log', 5000);
        a.tell({ send: 'adverts', hex: carp('0a') });
        expect(await b.says('heard')).toMatchObject({ hex: carp('0a') });
        b.tell({ send: 'adverts', hex: carp('0b') });
        expect(await a.says('heard')).toMatchObject({ hex: carp('0b') });
        expect(a.lines.filter((line) => line.includes('it is a new interface'))).toHaveLength(1);
      },
    );

    it('cannot be sent while the interface is down, and the error says so', async () => {
      const a = await opened('a', way);
      await lab.ip('a', 'link', 'set', 'lan0', 'down');
      a.tell({ send: 'adverts', hex: carp() });
      expect((await a.says('sent'))['error']).toMatch(/network is (down|unreachable)/i);
      await lab.linkUp('a');
    });
  });

  it('of several ids share the sockets of their interface, and the last one closes them', async () => {
    const sockets = async (): Promise<number> => {
      const table = await lab.in('b', 'cat', '/proc/net/raw');
      return table.split('\n').filter((line) => / 0+:0070 /.test(line)).length;
    };
    const [a, b] = [await opened('a', 'koffi'), await opened('b', 'koffi')];
    b.tell({ open: 'eight', options: { ...base, id: 8 } });
    await b.says('opened', 5000, 1);
    // One hears and one speaks CARP.
    expect(await sockets()).toBe(2);
    a.tell({ send: 'adverts', hex: carp().replace('2107', '2108') });
    expect(await b.says('heard')).toMatchObject({ heard: 'eight' });
    a.tell({ send: 'adverts', hex: carp().replace('2107', '2109') });
    a.tell({ send: 'adverts', hex: carp() });
    expect(await b.says('heard', 5000, 3)).toMatchObject({ heard: 'adverts' });
    expect(await counters(b)).toMatchObject({ received: 1, 'unknown-id': 1 });
    b.tell({ close: 'adverts' });
    await b.says('closed');
    expect(await sockets()).toBe(2);
    b.tell({ close: 'eight' });
    await b.says('closed', 5000, b.lines.length);
    expect(await sockets()).toBe(0);
  });

  it('of VRRPv3 over IPv6 get their checksum from the system, and those of CARP beside them do not', async () => {
    const tap = await lab.wireTap('b');
    const a = await opened('a', 'koffi', { family: 6, protocol: 'vrrp3' });
    a.tell({ open: 'carp', options: { ...base, family: 6, protocol: 'carp', id: 8 } });
    await a.says('opened', 5000, 1);
    const vrrp = `310764010064000${'0'.repeat(33)}`;
    a.tell({ send: 'adverts', hex: vrrp });
    a.tell({ send: 'carp', hex: carp() });
    const frame = Buffer.from(String((await tap.says('frame'))['frame']), 'hex');
    const [addresses, message] = [frame.subarray(22, 54), frame.subarray(54)];
    const pseudo = Buffer.from([0, 0, 0, message.length, 0, 0, 0, 112]);
    expect(message.readUInt16BE(6)).not.toBe(0);
    expect(internetChecksum(addresses, pseudo, message)).toBe(0);
    expect(frame.readUInt8(14)).toBe(0x6c);
    const other = Buffer.from(String((await tap.says('frame', 5000, 2))['frame']), 'hex');
    expect(other.subarray(54).toString('hex')).toBe(carp());
  });

  it('are told with the TTL that they came with', async () => {
    const [tap, b] = [await lab.wireTap('a'), await opened('b', 'koffi')];
    const header = Buffer.from('4500003800004000fe7000000a4d0001e0000012', 'hex');
    header.writeUInt16BE(internetChecksum(header), 10);
    tap.tell({ frame: `01005e0000120200000000010800${header.toString('hex')}${carp()}` });
    expect(await b.says('heard')).toMatchObject({ ttl: 254, source: '10.77.0.1' });
  });

  it('never leave from an address that moves', async () => {
    const a = await opened('a', 'koffi', { shared: ['10.77.0.1/24'] });
    expect((await a.says('opened'))['source']).toBeNull();
    a.tell({ send: 'adverts', hex: carp() });
    expect((await a.says('sent'))['error']).toBe('lan0 has no IPv4 address to send from');
  });

  describe.skipIf(needs('setpriv'))('of an ordinary user', () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const raw = ['--inh-caps=+net_raw', '--ambient-caps=+net_raw'];

    it('are heard and sent with CAP_NET_RAW', async () => {
      const [a, b] = [lab.advertNode('a', 'koffi', [...nobody, ...raw]), await opened('b', 'koffi')];
      a.tell({ open: 'adverts', options: { ...base, id: 7 } });
      await a.says('opened');
      a.tell({ send: 'adverts', hex: carp() });
      await b.says('heard');
      b.tell({ send: 'adverts', hex: carp() });
      await a.says('heard');
    });

    it('move no address without CAP_NET_ADMIN, which is named', async () => {
      const a = lab.advertNode('a', 'koffi', [...nobody, ...raw]);
      a.tell({ move: ['10.77.0.100/24'] });
      const { failed, code } = await a.says('failed');
      expect(code).toBe('address-add');
      expect(failed).toMatch(/CAP_NET_ADMIN is missing: run as root, or give it as ambient capability/);
    });

    it.each(['koffi', 'raw-socket'] as const)('are refused without it, by name (%s)', async (way) => {
      const a = lab.advertNode('a', way, nobody);
      a.tell({ open: 'adverts', options: { ...base, id: 7 } });
      const { failed, code } = await a.says('failed');
      expect(code).toBe('raw-socket-refused');
      expect(failed).toMatch(/CAP_NET_RAW is missing: run as root/);
    });
  });
});
