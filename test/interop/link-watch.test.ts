import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { AdvertNodeCommand } from '../fixtures/advert-node.ts';
import { needs } from '../support/needs.ts';
import { SegmentLab } from '../support/segment-lab.ts';
import type { Speaker, Way } from '../support/segment-lab.ts';

describe.skipIf(needs('root', 'netns', 'ip', 'koffi', 'raw-socket'))('a watched link', () => {
  let lab: SegmentLab;
  beforeAll(async () => {
    lab = await SegmentLab.make();
  });
  afterEach(async () => {
    await lab.endProcesses();
    for (const side of ['a', 'b'] as const) await lab.linkUp(side);
  });
  afterAll(() => lab.close());

  async function watching(
    families: readonly (4 | 6)[],
    way: Way = 'koffi',
  ): Promise<Speaker<AdvertNodeCommand>> {
    const node = lab.advertNode('a', way);
    node.tell({ watchLink: families });
    expect(await node.says('watching')).toEqual({ watching: true, reason: 'lan0 is up' });
    return node;
  }

  it.each(['koffi', 'raw-socket'] as const)(
    'is lost with its carrier and comes back with it (%s)',
    async (way) => {
      const node = await watching([4], way);
      const cut = performance.now();
      await lab.ip('b', 'link', 'set', 'lan0', 'down');
      expect(await node.says('link')).toEqual({ link: false, reason: 'lan0 has no carrier' });
      expect(performance.now() - cut).toBeLessThan(1000);
      await lab.linkUp('b');
      await node.line((line) => line.startsWith('{"link":true'), 5000);
    },
  );

  it('is lost when it is switched off', async () => {
    const node = await watching([]);
    await lab.ip('a', 'link', 'set', 'lan0', 'down');
    expect(await node.says('link')).toEqual({ link: false, reason: 'lan0 is switched off' });
  });

  it.each([
    [4, '10.77.0.1/24', 'lan0 has no IPv4 address of its own'],
    [6, 'fe80::1/64', 'lan0 has no link-local IPv6 address of its own'],
  ] as const)(
    'is lost with its IPv%s address, where adverts leave from it',
    async (family, address, reason) => {
      const node = await watching([family]);
      await lab.ip('a', 'address', 'del', address, 'dev', 'lan0');
      expect(await node.says('link')).toEqual({ link: false, reason });
      await lab.ip('a', 'address', 'add', address, 'dev', 'lan0');
      await node.line((line) => line.startsWith('{"link":true'), 5000);
    },
  );

  it('is lost when the interface is taken away', async () => {
    const node = await watching([]);
    await lab.ip('a', 'link', 'set', 'lan0', 'down');
    await lab.ip('a', 'link', 'set', 'lan0', 'name', 'lan8');
    await node.line((line) => line.includes('lan0 is not there'), 5000);
    await lab.ip('a', 'link', 'set', 'lan8', 'name', 'lan0');
  });
});
