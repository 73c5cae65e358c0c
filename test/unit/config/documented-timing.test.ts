import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { expect, it } from 'vitest';

import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';

const read = (path: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), 'utf8');

it('the timing that the documentation names beside adverts every 100 ms is safe, and not what a failover waits for', async () => {
  const identity = { hostname: 'hast1', hostuuid: null, hostid: null };
  const hastConf = parseHastConf(await read('etc/hast.conf.sample'), 'hast.conf');
  const line = /^timing: .*$/m.exec(await read('docs/addresses.md'))?.[0] ?? '';
  const { timing } = parseHastate(
    `insecure: true\n${line}`,
    'hastate.yaml',
    resolveHastConf(hastConf, { node: 'hast1', identity }),
    { onWarning: () => undefined },
  );
  expect(timing).toEqual({ heartbeatMs: 50, promotionDelayMs: 350, slackMs: 50, leaseMs: 250, holdMs: 450 });
  // Three adverts and the skew of a standby.
  expect(timing.promotionDelayMs).toBeLessThanOrEqual(3.6 * 100);
});
