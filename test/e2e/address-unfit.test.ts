import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type AddressPair, SIDE_OF, startAddressPair } from '../support/address-pair.ts';
import { BRIDGE_NEEDS } from '../support/bridge-lab.ts';
import { groupOf, type LabDaemon, type LabNode, NODES } from '../support/daemon.ts';
import { journalOf, serves } from '../support/failover.ts';
import { needs } from '../support/needs.ts';

const GROUPS = ['storage1', 'storage2'] as const;
const OTHER = { hasta: 'hastb', hastb: 'hasta' } as const;

describe.skipIf(needs(...BRIDGE_NEEDS))('a pair whose two groups are elected together', () => {
  let pair: AddressPair;
  let directory: string;
  let at: LabNode = 'hasta';

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-unfit-'));
    const script = join(directory, 'check.sh');
    // Both nodes are one machine: who asks is told by its address.
    const name = `$(ip -o -4 address show dev data0 | grep -o '10\\.79\\.1\\.[0-9]*')`;
    await writeFile(script, `#!/bin/sh\ntest ! -e "${directory}/ill-${name}"\n`, { mode: 0o755 });
    pair = await startAddressPair({
      groups: 2,
      address: (group) =>
        group === 'storage1'
          ? ['sync-group: both']
          : ['sync-group: both', 'track:', `  - { script: ${script}, interval: 1s, timeout: 1s, fall: 2 }`],
    });
  });
  afterAll(async () => {
    await pair.close();
    await rm(directory, { recursive: true, force: true });
  });

  const fit = (daemon: LabDaemon): Promise<unknown> =>
    daemon.until('fit', ({ groups }) => groups.every(({ address }) => address?.faults.length === 0));
  const servesAll = (daemon: LabDaemon): Promise<unknown> =>
    daemon.until('serving both', (status) => GROUPS.every((group) => serves(status, group)));
  const inSync = (daemon: LabDaemon): Promise<unknown> =>
    daemon.until('in sync', ({ resources }) =>
      resources.every(
        ({ record, sync, status }) => sync === null && status === 'complete' && record?.inSync.length === 2,
      ),
    );

  it.each([
    {
      what: 'link goes down',
      fail: (node: LabNode) => pair.bridge.linkDown(SIDE_OF[node]),
      mend: (node: LabNode) => pair.bridge.linkUp(SIDE_OF[node]),
    },
    {
      what: 'tracked script fails',
      fail: (node: LabNode) => writeFile(ill(node), ''),
      mend: (node: LabNode) => rm(ill(node)),
    },
  ])(
    'moves both when the primary’s $what, and leaves them there when that is mended',
    async ({ fail, mend }) => {
      const [unfit, healthy] = [pair[at], pair[OTHER[at]]];
      await servesAll(unfit);
      await inSync(unfit);
      await fail(unfit.node);
      await servesAll(healthy);
      at = healthy.node;
      expect(groupOf(await unfit.status(), 'storage1').role).toBe('secondary');
      const since = new Date().toISOString();
      await mend(unfit.node);
      await fit(unfit);
      await inSync(healthy);
      // Nothing that it would want the groups back for is left to happen.
      await unfit.until('calm', ({ charts }) =>
        charts.every(({ machine, sinceMs }) => machine === 'link' || sinceMs > 1000),
      );
      await servesAll(healthy);
      for (const node of NODES) {
        const later = (await journalOf(pair[node])).filter(({ time }) => time > since);
        expect(later.filter(({ message }) => /promoting|demoting/.test(message))).toEqual([]);
      }
    },
  );

  function ill(node: LabNode): string {
    return join(directory, `ill-${pair.bridge.net.data[node]}`);
  }
});
