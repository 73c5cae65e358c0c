/** Groups whose address is moved by a cluster manager or a person, who says `hastate role` where it is to be served. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { Lab } from '../support/lab.ts';
import { eventually } from '../support/stamped-clients.ts';

const GROUP = 'storage';

describe('a group that somebody else leads', () => {
  let lab: Lab;
  let hasta: LabDaemon;
  let hastb: LabDaemon;

  beforeAll(async () => {
    const address = ['address: { protocol: external, addresses: [10.9.9.9/24] }'];
    lab = await Lab.make({
      groups: [{ name: GROUP, resources: ['disk1'], more: ['policy: manual', ...address] }],
    });
    hasta = lab.daemon('hasta').start();
    hastb = lab.daemon('hastb').start();
  });
  afterAll(() => lab.close());

  const role = (daemon: LabDaemon, name: 'primary' | 'secondary') =>
    lab.hastate(daemon.node, 'role', name, 'disk1');
  const inSync = (daemon: LabDaemon): Promise<unknown> =>
    daemon.until('both in sync', (status) => resourceOf(status, 'disk1').record?.inSync.length === 2);

  it('waits for the word, and serves at it', async () => {
    await hastb.until('standby', (status) => groupOf(status, GROUP).state === 'standby.waiting');
    expect(await role(hasta, 'primary')).toMatchObject({ code: 0 });
    const { groups } = await hasta.untilPrimary(GROUP);
    expect(groups[0]?.address).toMatchObject({ protocol: 'external', state: 'MASTER', hold: null });
    await inSync(hasta);
  });

  it('is not served twice because a manager says so twice', async () => {
    const twice = await role(hastb, 'primary');
    expect(twice.code).not.toBe(0);
    expect(twice.stderr).toContain('hasta');
    expect(groupOf(await hasta.status(), GROUP).state).toBe('primary.serving');
  });

  it('moves by the two words of a manager, and then by one when a node died', async () => {
    expect(await role(hasta, 'secondary')).toMatchObject({ code: 0 });
    expect(await role(hastb, 'primary')).toMatchObject({ code: 0 });
    await hastb.untilPrimary(GROUP);
    await inSync(hastb);
    await hastb.kill();
    await eventually('a person is waited for', async () => {
      const { stdout } = await lab.hastate('hasta', 'why-not', GROUP);
      return stdout.includes('policy-manual');
    });
    expect(await role(hasta, 'primary')).toMatchObject({ code: 0 });
    await hasta.untilPrimary(GROUP);
  });
});
