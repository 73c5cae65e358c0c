import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BRIDGE_NEEDS } from '../support/bridge-lab.ts';
import { openCarpLab } from '../support/carp-lab.ts';
import type { CarpLab } from '../support/carp-lab.ts';
import { needs } from '../support/needs.ts';

const instance = { vhid: 7, password: 's3cret', address: '10.78.0.100' };
const ours = (advskew: number, change: { password?: string } = {}) => ({
  vhid: instance.vhid,
  password: instance.password,
  addresses: [`${instance.address}/24`],
  election: { protocol: 'carp', advbase: 1, advskew, tieBreak: 'ucarp' } as const,
  ...change,
});
const says = (part: string) => (line: string) => line.includes(part);

describe.skipIf(needs(...BRIDGE_NEEDS, 'ucarp'))('beside a real ucarp', () => {
  let lab: CarpLab;
  beforeAll(async () => {
    lab = await openCarpLab();
  });
  afterAll(() => lab.close());

  it('we stay BACKUP, take over when it dies, keep it BACKUP, and hand over by bow-out', async () => {
    await lab.in(lab.theirs, 'sysctl', '-qw', 'net.ipv4.conf.lan0.arp_accept=1');
    const master = await lab.ucarp({ ...instance, advskew: 100 });
    await master.line(says('Switching to state: MASTER'), 8000);

    const node = lab.node(ours(50));
    await node.line(says('"state":"BACKUP"'), 5000);
    expect(await node.line(says('"heard"'), 3000)).toBe(
      JSON.stringify({
        heard: '10.78.0.2',
        says: { protocol: 'carp', advbase: 1, advskew: 100, demote: 0 },
      }),
    );
    const between = node.lines.length;
    await node.line(says('"heard"'), 3000, between);
    expect(node.lines.some(says('MASTER'))).toBe(false);

    await master.kill('SIGKILL');
    await node.line(says('"state":"MASTER"'), 6000);
    await node.line(says('"address":"up"'), 2000);
    await node.line(says('"announced":"frames"'), 2000);
    expect(await lab.in(lab.ours, 'ip', '-o', 'address', 'show', 'lan0')).toContain('10.78.0.100/24');
    const mac = (await lab.in(lab.ours, 'cat', '/sys/class/net/lan0/address')).trim();
    expect(await lab.in(lab.theirs, 'ip', 'neigh', 'show', '10.78.0.100')).toContain(mac);

    const peer = await lab.ucarp({ ...instance, advskew: 100 });
    await peer.line(says('Switching to state: BACKUP'), 3000);
    // Longer than its own down interval: only our adverts keep it from taking over.
    await expect(peer.line(says('Switching to state: MASTER'), 5000)).rejects.toThrow(/no such line/);

    const stopped = performance.now();
    node.write('stop\n');
    await peer.line(says('Switching to state: MASTER'), 2000);
    expect(performance.now() - stopped).toBeLessThan(1000);
    expect(await lab.in(lab.ours, 'ip', '-o', 'address', 'show', 'lan0')).not.toContain('10.78.0.100');
    const { counters } = JSON.parse(await node.line(says('"counters"'), 2000)) as {
      counters: Record<string, number>;
    };
    expect(counters['accepted']).toBeGreaterThanOrEqual(2);
    expect(counters['hmac']).toBeUndefined();
    expect(counters['send-error']).toBe(0);
  });

  it('we refuse its adverts when the passwords differ, and say so once', async () => {
    const node = lab.node(ours(0, { password: 'other' }));
    await node.line(says('"state":"BACKUP"'), 5000);
    await node.line(says('wrong digest from 10.78.0.2'), 5000);
    await node.line(says('"state":"MASTER"'), 6000);
    node.write('stop\n');
    const { counters } = JSON.parse(await node.line(says('"counters"'), 2000)) as {
      counters: Record<string, number>;
    };
    expect(counters['hmac']).toBeGreaterThanOrEqual(2);
    expect(counters['accepted']).toBe(0);
    expect(node.lines.filter(says('wrong digest'))).toHaveLength(1);
  });
});
