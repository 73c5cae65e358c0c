/** A primary that its clients cannot reach says so, and leaves where the other node is better off. */
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon } from '../support/daemon.ts';
import { untilPaired, whyNot } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { Namespaces } from '../support/netns.ts';
import { eventually } from '../support/stamped-clients.ts';

describe.skipIf(needs('root', 'netns', 'ip', 'nft', 'koffi'))('a client interface', () => {
  let namespaces: Namespaces;
  let lab: Lab;
  let pair: Readonly<Record<'hasta' | 'hastb', LabDaemon>>;

  const ip = async (node: 'hasta' | 'hastb', ...words: string[]): Promise<void> => {
    const [program = '', ...args] = [...namespaces.net.enter[node], 'ip', ...words];
    await execa(program, args);
  };
  const carrier = (node: 'hasta' | 'hastb', state: 'up' | 'down') => ip(node, 'link', 'set', 'lan1', state);

  beforeEach(async () => {
    namespaces = await Namespaces.make();
    for (const [node, host] of [
      ['hasta', 1],
      ['hastb', 2],
    ] as const) {
      await ip(node, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
      await ip(node, 'address', 'add', `10.80.0.${host}/24`, 'dev', 'lan0');
      await ip(node, 'link', 'set', 'lan0', 'up');
      await carrier(node, 'up');
    }
    const words = ['interface: lan0', 'protocol: vrrp3', 'vrid: 3', 'interval: 100ms'];
    const more = ['address:', ...[...words, 'addresses: [10.80.0.9/24]'].map((line) => `  ${line}`)];
    lab = await Lab.make({ groups: [{ name: 'storage', resources: ['disk1'], more }], net: namespaces.net });
    pair = await lab.startPair();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
  });
  afterEach(async () => {
    await lab.close();
    await namespaces.close();
  });

  it('that is down on both nodes moves nothing, and the group moves when one of them is well again', async () => {
    await carrier('hastb', 'down');
    await eventually(
      'hasta knows',
      async () => (await whyNot(pair.hasta)).evidence.report?.healthy === false,
    );
    await carrier('hasta', 'down');
    // A healthy one would not be usurped; one that is not is asked, and goes by itself when it can.
    await eventually(
      'hastb knows',
      async () => (await whyNot(pair.hastb)).evidence.report?.healthy === false,
    );
    expect((await whyNot(pair.hastb)).verdict.reasons).toContainEqual(
      expect.objectContaining({ code: 'peer-unhealthy' }),
    );
    expect(groupOf(await pair.hasta.status(), 'storage').role).toBe('primary');
    await carrier('hastb', 'up');
    await pair.hastb.untilPrimary('storage');
    expect(await pair.hasta.logged('this node cannot lead (link lan0): it hands over')).toHaveLength(1);
  });
});
