/** Where a group is, as the operator wants it: failback, standby, maintenance, a switchover that waits. */
import { afterEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon, type LabNode } from '../support/daemon.ts';
import { codesOf, journalOf, untilGone, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { StampedClients } from '../support/stamped-clients.ts';

type Pair = Readonly<Record<LabNode, LabDaemon>>;

const kinds = async (daemon: LabDaemon): Promise<string[]> =>
  (await journalOf(daemon)).map(({ kind }) => kind);

describe('a group of two nodes', () => {
  let lab: Lab;
  let clients: StampedClients | null = null;

  const start = async (...more: readonly string[]): Promise<Pair> => {
    lab = await Lab.make({ groups: [{ name: 'storage', resources: ['disk1'], more }] });
    const pair = await lab.startPair();
    clients = new StampedClients([pair.hasta, pair.hastb]).start();
    await clients.more('hasta');
    return pair;
  };
  const hastate = (daemon: LabDaemon, ...args: readonly string[]) => lab.hastate(daemon.node, ...args);

  afterEach(async () => {
    await clients?.stop();
    clients = null;
    await lab.close();
  });

  it('goes back to the node that it prefers when that is in sync again, and loses nothing', async () => {
    const { hasta, hastb } = await start('failback: auto');
    await hasta.kill();
    await hastb.untilPrimary('storage');
    await clients?.more('hastb');
    hasta.start();
    await hasta.untilPrimary('storage');
    await clients?.more('hasta');
    await clients?.stop();
    expect(await clients?.lostOn(hasta)).toEqual([]);
    expect(await kinds(hastb)).toContain('failback.started');
  });

  it('leaves a node on standby and is not taken over by it, until the operator ends that', async () => {
    const { hasta, hastb } = await start();
    expect(await hastate(hasta, 'standby')).toMatchObject({ code: 64 });
    expect(await hastate(hasta, 'standby', '--reason', 'new memory')).toMatchObject({ code: 0 });
    await hastb.untilPrimary('storage');
    await untilPaired({ primary: hastb, standby: hasta });
    expect(groupOf(await hasta.status(), 'storage').badge).toMatch(
      /^blocked: this node is on standby since .*: new memory$/,
    );
    const back = await hastate(hastb, 'switchover', 'storage', '--wait', '1s');
    expect(back.code).not.toBe(0);
    expect(back.stderr).toContain('hasta is on standby');

    await hastb.kill();
    await untilGone(hasta, 'hastb');
    expect(await codesOf(hasta)).toContain('standby');
    expect(groupOf(await hasta.status(), 'storage').role).toBe('secondary');
    expect((await hastate(hasta, 'standby', '--off')).stdout).toBe('this node takes part again\n');
    await hasta.untilPrimary('storage');
    await clients?.more('hasta');
    await clients?.stop();
    expect(await clients?.lostOn(hasta)).toEqual([]);
  });

  it('in maintenance stays down when its primary dies, also after a restart of the standby', async () => {
    const { hasta, hastb } = await start();
    expect(await hastate(hastb, 'maintenance', 'storage', '--reason', 'a new switch')).toMatchObject({
      code: 0,
    });
    await hasta.until('told', (s) => groupOf(s, 'storage').badge.includes('hastb is in maintenance for it'));
    await hastb.stop();
    hastb.start();
    await untilPaired({ primary: hasta, standby: hastb });
    await hasta.kill();
    await untilGone(hastb, 'hasta');
    expect(await codesOf(hastb)).toContain('maintenance');
    expect((await hastate(hastb, 'why-not', 'storage')).stdout).toContain(
      'next: hastate maintenance storage --off',
    );
    await hastate(hastb, 'maintenance', 'storage', '--off');
    await hastb.untilPrimary('storage');
    await clients?.stop();
    expect(await clients?.lostOn(hastb)).toEqual([]);
  });

  it('is moved by a switchover that waits for the other node to be in sync, asked on either node', async () => {
    const { hasta, hastb } = await start();
    await hastb.stop();
    const moved = hastate(hasta, 'switchover', 'storage', '--wait', '30s');
    hastb.start();
    expect(await moved).toMatchObject({ code: 0 });
    await hastb.untilPrimary('storage');
    await untilPaired({ primary: hastb, standby: hasta });

    // A dry run from the standby changes nothing at the primary.
    const dry = await hastate(hasta, 'switchover', 'storage', '--dry-run');
    expect(dry.stdout).toContain('nothing was changed');
    expect(groupOf(await hastb.status(), 'storage').state).toBe('primary.serving');
    await clients?.stop();
    expect(await clients?.lostOn(hastb)).toEqual([]);
  });
});
