/** A pair of whole nodes whose address two real keepalived elect and move: it follows the services. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import {
  type AddressPair,
  settled,
  SHARED_ADDRESS,
  SIDE_OF,
  startAddressPair,
} from '../support/address-pair.ts';
import { BRIDGE_NEEDS, type BridgeLab } from '../support/bridge-lab.ts';
import { groupOf, type LabDaemon, type LabNode, NODES } from '../support/daemon.ts';
import type { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { machineNow } from '../support/timeline.ts';

const GROUP = 'storage';
const WAIT_MS = 20_000;
const ADVERT_MS = 100;
/** By its own numbers keepalived prefers hastb. */
const PRIORITY: Readonly<Record<LabNode, number>> = { hasta: 100, hastb: 150 };

async function startKeepalived(bridge: BridgeLab, lab: Lab): Promise<void> {
  for (const node of NODES) {
    const { stateDir } = lab.places[node];
    const file = (name: string): string => join(bridge.directory, `${node}-keepalived.${name}`);
    await writeFile(
      file('conf'),
      `global_defs { router_id ${node}
  vrrp_version 3
  script_user root
  vrrp_notify_priority_changes true
  vrrp_notify_fifo ${join(stateDir, 'keepalived.fifo')} }
track_file hastate { file ${join(stateDir, `keepalived-${GROUP}.track`)}
  weight -100 }
vrrp_instance ${GROUP} { state BACKUP
  interface lan0
  virtual_router_id 51
  priority ${PRIORITY[node]}
  advert_int ${ADVERT_MS / 1000}
  virtual_ipaddress { ${SHARED_ADDRESS}/24 }
  track_file { hastate } }
`,
    );
    const files = ['-f', file('conf'), '-p', file('pid'), '-r', file('vrrp.pid')];
    bridge.start(SIDE_OF[node], 'keepalived', '-n', '-l', '-P', ...files);
  }
}

describe.skipIf(needs(...BRIDGE_NEEDS, 'keepalived'))('the address of a group that keepalived moves', () => {
  let pair: AddressPair;
  let at: LabNode = 'hasta';
  let primary: LabDaemon;
  let standby: LabDaemon;
  /** The other node leads, and answers at the address. */
  async function moved(from: number): Promise<void> {
    const side = SIDE_OF[standby.node];
    await pair.line.until(`answered by ${side}`, () => pair.line.firstAnswer(side, from) !== null, WAIT_MS);
    at = standby.node;
    await standby.untilPrimary(GROUP);
  }

  beforeAll(async () => {
    pair = await startAddressPair({ keepalived: startKeepalived });
  });
  beforeEach(async () => {
    ({ primary, standby } = await settled(pair, at));
  });
  afterAll(() => pair.close());

  it('is where the services are, though by its own numbers keepalived prefers the other node', async () => {
    const { address } = groupOf(await primary.status(), GROUP);
    expect(address).toMatchObject({
      protocol: 'keepalived',
      state: 'MASTER',
      up: true,
      hold: null,
      faults: [],
    });
    expect(groupOf(await standby.status(), GROUP).address).toMatchObject({
      ...{ state: 'BACKUP', up: false },
      hold: 'held back until the services run here',
    });
  });

  it('follows a switchover, and is at both nodes no longer than keepalived needs to hear the other', async () => {
    const from = machineNow();
    const { code } = await pair.lab.hastate(primary.node, 'switchover', GROUP);
    expect(code).toBe(0);
    await moved(from);
    expect(pair.line.bothHeld(from)).toBeLessThan(2 * ADVERT_MS);
  });

  it('leaves a node whose daemon is killed while keepalived lives on there', async () => {
    const from = machineNow();
    await primary.kill();
    await moved(from);
    const side = SIDE_OF[primary.node];
    await pair.line.until('taken off', () => !pair.line.holds(side), WAIT_MS);
    primary.start();
  });

  it('leaves a node that stops', async () => {
    const from = machineNow();
    await primary.stop();
    await moved(from);
    primary.start();
  });

  it('comes back to that node once it has started again, beside the keepalived that lived on', async () => {
    const from = machineNow();
    expect((await pair.lab.hastate(primary.node, 'switchover', GROUP)).code).toBe(0);
    await moved(from);
  });
});
