/** Records that contradict each other when two nodes meet: both copies stay, both nodes say so, and nobody serves by guess. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import type { ResourceRecord } from '../../src/model/record.ts';
import {
  decodeMetadataBlock,
  encodeMetadataBlock,
  encodeThirdCopy,
  METADATA_BYTES,
} from '../../src/protocol/hast-metadata.ts';
import { groupOf, type LabDaemon, type LabNode } from '../support/daemon.ts';
import { codesOf, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { withoutRule } from '../support/rules-off.ts';
import { eventually, StampedClients } from '../support/stamped-clients.ts';

const FUTURE = 1_000_000;

let lab: Lab;
const clients: StampedClients[] = [];

afterEach(async () => {
  for (const one of clients.splice(0)) await one.stop();
  await lab.close();
});

function writeTo(daemon: LabDaemon): StampedClients {
  const writing = new StampedClients([daemon]).start();
  clients.push(writing);
  return writing;
}

/** It is made primary alone on a person's word, and acknowledges something. */
async function serveAlone(node: LabNode): Promise<LabDaemon> {
  const daemon = lab.daemon(node).start();
  await daemon.promoteAlone('storage');
  const writing = writeTo(daemon);
  await writing.more(node);
  await writing.stop();
  return daemon;
}

/** It has told the operator so, and is not primary. */
async function staysOut(daemon: LabDaemon, why: RegExp): Promise<void> {
  await eventually('it is told', async () => (await daemon.logged(why)).length > 0);
  expect(groupOf(await daemon.status(), 'storage').role).toBe('secondary');
}

/** Of all its lives so far. */
const promotions = async (daemon: LabDaemon): Promise<number> =>
  (await daemon.logged('is prepared to be primary')).length;

describe('two nodes that were both primary last, apart from each other', () => {
  it('boot together: neither serves, both say why, and both copies stay', async () => {
    const groups = [{ name: 'storage', resources: ['disk1'], more: ['boot-wait: 30s'] }];
    lab = await Lab.make({ groups });
    for (const node of ['hasta', 'hastb'] as const) await (await serveAlone(node)).kill();
    const [hasta, hastb] = [lab.daemon('hasta').start(), lab.daemon('hastb').start()];
    for (const daemon of [hasta, hastb]) {
      await staysOut(daemon, /split-brain: this node and hast[ab] wrote apart/);
      expect(await codesOf(daemon)).toContain('split-brain');
      expect(await promotions(daemon)).toBe(1);
    }
  });

  it('in different epochs boot together: the later one does not serve what lacks the writes of the other', async () => {
    const groups = [{ name: 'storage', resources: ['disk1'], more: ['boot-wait: 30s'] }];
    lab = await Lab.make({ groups });
    const pair = await lab.startPair();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    await Promise.all([pair.hasta.kill(), pair.hastb.kill()]);
    for (const node of ['hasta', 'hastb', 'hastb'] as const) await (await serveAlone(node)).kill();
    const before = await Promise.all([pair.hasta, pair.hastb].map(promotions));
    const [hasta, hastb] = [lab.daemon('hasta').start(), lab.daemon('hastb').start()];
    for (const daemon of [hasta, hastb]) {
      await staysOut(daemon, /split-brain/);
      expect(await codesOf(daemon)).toContain('split-brain');
    }
    expect(await Promise.all([hasta, hastb].map(promotions))).toEqual(before);
  });

  it('one of them serves: the other one hears it before it does so too, however long its start takes', async () => {
    lab = await Lab.make();
    await (await serveAlone('hastb')).kill();
    const hasta = await serveAlone('hasta');
    const hastb = withoutRule('slow-start', () => lab.daemon('hastb').start());
    await staysOut(hastb, /split-brain with hasta: both disks went on apart/);
    expect(await codesOf(hastb)).toContain('split-brain');
    expect(await promotions(hastb)).toBe(1);
    expect(groupOf(await hasta.status(), 'storage').state).toBe('primary.serving');
  });
});

describe('a node whose record is of an epoch from the future', () => {
  it('does not take the group from the one that serves, which goes on, and both say that they went apart', async () => {
    lab = await Lab.make();
    const { hasta, hastb } = await lab.startPair();
    await untilPaired({ primary: hasta, standby: hastb });
    await hastb.stop();
    const writing = writeTo(hasta);
    await writing.more('hasta');
    await changeRecord('hastb', (record) => ({
      ...record,
      epoch: { number: FUTURE, id: 'ab'.repeat(8) },
      generations: { current: 'cd'.repeat(8), previous: record.generations.current },
      primary: 'hastb',
      inSync: ['hastb'],
    }));
    withoutRule('slow-start', () => hastb.start());
    await staysOut(hastb, /Epoch 1 \(\w+\) of hasta is over: this node knows epoch 1000000/);
    await eventually('hasta tells it, too', async () => {
      return (await hasta.logged(/split-brain: the peer has epoch 1000000/)).length > 0;
    });
    await writing.more('hasta');
    await writing.stop();
    expect(await writing.lostOn(hasta)).toEqual([]);
    expect(await promotions(hastb)).toBe(0);
  });
});

/** Of a node that is down, in all three copies. */
async function changeRecord(
  node: LabNode,
  change: (record: ResourceRecord) => ResourceRecord,
): Promise<void> {
  const { disk, stateDir } = lab.places[node];
  const third = join(stateDir, 'resources', 'disk1.meta');
  const file = await open(disk('disk1'), 'r+');
  try {
    const block = Buffer.alloc(METADATA_BYTES);
    await file.read(block, 0, METADATA_BYTES, 0);
    const { meta, own } = decodeMetadataBlock(block, await readFile(third), 'disk1');
    if (own === null) throw new Error(`${node} has no record`);
    const next = { ...own, record: change(own.record), sequence: own.sequence + 1n };
    await file.write(encodeMetadataBlock(meta, next), 0, METADATA_BYTES, 0);
    await writeFile(third, encodeThirdCopy(meta, next));
  } finally {
    await file.close();
  }
}
