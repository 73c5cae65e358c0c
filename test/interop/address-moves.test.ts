import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { encodeGratuitousArp, encodeNeighbourAdvert } from '../../src/protocol/announce-frames.ts';
import type { AdvertNodeCommand } from '../fixtures/advert-node.ts';
import { needs } from '../support/needs.ts';
import { SegmentLab } from '../support/segment-lab.ts';
import type { Speaker } from '../support/segment-lab.ts';

const V4 = '10.77.0.100/24';
const V6 = 'fd77::100/64';
const BOTH = [V4, V6];
const byAddress = (one: unknown, other: unknown): number =>
  JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;

describe.skipIf(needs('root', 'netns', 'ip', 'koffi', 'raw-socket', 'arping'))('a moved address', () => {
  let lab: SegmentLab;
  let mac: Buffer;
  let node: Speaker<AdvertNodeCommand>;
  beforeAll(async () => {
    lab = await SegmentLab.make();
    const text = (await lab.in('a', 'cat', '/sys/class/net/lan0/address')).trim();
    mac = Buffer.from(text.replaceAll(':', ''), 'hex');
  });
  beforeEach(() => {
    node = lab.advertNode('a');
  });
  afterEach(() => lab.endProcesses());
  afterAll(() => lab.close());

  type Move = Extract<AdvertNodeCommand, { move: readonly string[] }>;
  async function move(changes: Partial<Move> = {}): Promise<Record<string, unknown>> {
    const from = node.lines.length;
    node.tell({ move: BOTH, ...changes });
    return node.says('moved', 10_000, from);
  }
  const neighbours = async (address: string): Promise<string> => lab.in('b', 'ip', 'neigh', 'show', address);

  it('is announced to everybody by one frame each, byte for byte', async () => {
    const tap = await lab.wireTap('b');
    node.tell({ announce: BOTH });
    expect(await node.says('announced')).toEqual({ announced: 'frames' });
    expect(await tap.says('frame')).toEqual({
      frame: encodeGratuitousArp(mac, '10.77.0.100').toString('hex'),
    });
    expect(await tap.says('frame', 5000, 2)).toEqual({
      frame: encodeNeighbourAdvert(mac, 'fd77::100').toString('hex'),
    });
  });

  it('is announced by arping and a raw socket where koffi does not work', async () => {
    const tap = await lab.wireTap('b');
    const plain = lab.advertNode('a', 'raw-socket');
    await move();
    plain.tell({ announce: BOTH });
    expect(await plain.says('announced')).toEqual({ announced: 'programs' });
    // Who announces, which address, hop limit 255, to all nodes: source and checksum are the system's.
    const advert = encodeNeighbourAdvert(mac, 'fd77::100').toString('hex');
    await tap.line((line) => line.includes(advert.slice(-56)) && line.includes('ff02'.padEnd(31, '0')), 5000);
    await tap.line((line) => line.includes('0806') && line.includes('0a4d0064'), 5000);
    await move({ remove: true });
  });

  it('says that it is a router where it is one: others would drop their routes', async () => {
    const tap = await lab.wireTap('b');
    await lab.in('a', 'sysctl', '-qw', 'net.ipv6.conf.lan0.forwarding=1');
    node.tell({ announce: [V6] });
    const frame = encodeNeighbourAdvert(mac, 'fd77::100', true).toString('hex');
    expect(await tap.says('frame')).toEqual({ frame });
    await lab.in('a', 'sysctl', '-qw', 'net.ipv6.conf.lan0.forwarding=0');
  });

  it('is known to its neighbours by the new owner from the first frame on', async () => {
    await lab.ip(
      'b',
      'neigh',
      'replace',
      '10.77.0.100',
      'lladdr',
      '02:00:00:00:00:09',
      'dev',
      'lan0',
      'nud',
      'stale',
    );
    await lab.ip(
      'b',
      'neigh',
      'replace',
      'fd77::100',
      'lladdr',
      '02:00:00:00:00:09',
      'dev',
      'lan0',
      'nud',
      'stale',
    );
    await move();
    node.tell({ announce: BOTH });
    await node.says('announced');
    const own = (await lab.in('a', 'cat', '/sys/class/net/lan0/address')).trim();
    for (const address of ['10.77.0.100', 'fd77::100']) {
      while (!(await neighbours(address)).includes(own));
    }
    await move({ remove: true });
  });

  it('that another machine has as well is told once, with its MAC, and counted, of either family', async () => {
    const other = (await lab.in('b', 'cat', '/sys/class/net/lan0/address')).trim();
    const theirs = ['10.77.0.100/32', 'fd77::100/128'];
    for (const cidr of theirs) await lab.ip('b', 'address', 'add', cidr, 'dev', 'lan0', 'nodad');
    await move();
    for (let n = 0; n < 3; n += 1) node.tell({ watchDuplicates: ['10.77.0.100/24', 'FD77:0::100/64'] });
    const found = async (): Promise<unknown> => {
      const from = node.lines.length;
      node.tell({ duplicates: true });
      return (await node.says('found', 5000, from))['found'];
    };
    while ((await found()) !== 6);
    const told = node.lines.filter((line) => line.startsWith('{"duplicate":'));
    expect(told.map((line) => JSON.parse(line) as unknown).sort(byAddress)).toEqual([
      { duplicate: '10.77.0.100', mac: other },
      { duplicate: 'fd77::100', mac: other },
    ]);
    for (const cidr of theirs) await lab.ip('b', 'address', 'del', cidr, 'dev', 'lan0');
    await move({ remove: true });
  });

  it('that is there with another prefix is not taken for gone', async () => {
    await lab.ip('a', 'address', 'add', '10.77.0.100/32', 'dev', 'lan0');
    node.tell({ move: [V4], remove: true });
    await node.line((line) => line.includes('address 10.77.0.100/24 does not come off lan0'), 5000);
    await lab.ip('a', 'address', 'del', '10.77.0.100/32', 'dev', 'lan0');
  });

  it('that a killed predecessor left is removed at start, of both families', async () => {
    expect((await move())['moved']).toEqual(expect.arrayContaining(BOTH));
    await node.kill('SIGKILL');
    node = lab.advertNode('a');
    const { moved } = await move({ leftovers: true });
    for (const cidr of BOTH) expect(moved).not.toContain(cidr);
  });

  describe('behind a virtual MAC', () => {
    const id = 0x2a;
    const BEHIND = ['10.77.0.100/32', 'fd77::100/128'];

    it('answers with the MAC of its id, of each family, and takes the interfaces away with it', async () => {
      const { carriers } = await move({ id });
      for (const [name, addresses] of carriers as [string, string[]][])
        node.tell({ announce: addresses, on: name });
      for (const from of [1, 2])
        expect(await node.says('announced', 5000, from)).toEqual({ announced: 'frames' });
      await lab.ip('b', 'neigh', 'flush', 'dev', 'lan0');
      for (const [address, lladdr] of [
        ['10.77.0.100', '00:00:5e:00:01:2a'],
        ['fd77::100', '00:00:5e:00:02:2a'],
      ] as const) {
        // Any packet makes the neighbour ask.
        await lab.in('b', 'bash', '-c', `echo >/dev/udp/${address}/9`);
        while (!(await neighbours(address)).includes(`lladdr ${lladdr}`));
      }
      const { moved } = await move({ id, remove: true });
      for (const cidr of BEHIND) expect(moved).not.toContain(cidr);
      expect(await lab.ip('a', 'link')).not.toMatch(/ha42/);
    });

    it('of a vhid has one MAC for both families, as CARP has', async () => {
      const { carriers } = await move({ id, carp: true });
      expect(carriers).toHaveLength(1);
      const [[name] = ['']] = carriers as [string, string[]][];
      expect(await lab.ip('a', 'link', 'show', 'dev', name)).toContain('00:00:5e:00:01:2a');
      expect(await lab.ip('a', 'address', 'show', 'dev', name)).toMatch(
        /10\.77\.0\.100\/32[^]*fd77::100\/128/,
      );
      await move({ id, carp: true, remove: true });
      expect(await lab.ip('a', 'link')).not.toMatch(/ha42/);
    });

    it('is removed with its interfaces when a killed predecessor left it, and by the clean-up commands', async () => {
      const left = await move({ id });
      expect(left['moved']).toEqual(expect.arrayContaining(BEHIND));
      await node.kill('SIGKILL');
      node = lab.advertNode('a');
      await move({ id, leftovers: true });
      expect(await lab.ip('a', 'link')).not.toMatch(/ha42/);
      const { cleanup } = await move({ id });
      for (const argv of cleanup as string[][]) await lab.in('a', ...argv).catch(() => '');
      expect(await lab.ip('a', 'link')).not.toMatch(/ha42/);
    });
  });
});
