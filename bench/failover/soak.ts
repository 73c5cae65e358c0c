/** Nothing is wrong but that the machine is busy: nobody may take anything over. */
import { startAddressPair } from '../../test/support/address-pair.ts';
import { BridgeLab, SIDES } from '../../test/support/bridge-lab.ts';
import { BusyLoops } from '../../test/support/busy-loops.ts';
import { journalOf } from '../../test/support/failover.ts';
import type { Talker } from '../../test/support/talker.ts';
import { machineNow } from '../../test/support/timeline.ts';
import type { RunOptions } from './measures.ts';
import type { Sample } from './rounds.ts';

const ADDRESSES = 10;
const ADVERT_MS = 100;
const SOAK_MS = 15_000;
const LOOPS = 8;
const START_MS = 30_000;
const FIRST_ID = 7;
const PRIORITIES = [150, 100] as const;

/** @returns how often nothing went wrong and somebody thought that it did, each run */
async function soak(options: RunOptions, count: () => Promise<number>): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds && !options.signal.aborted; round += 1) {
    const before = await count();
    const loops = new BusyLoops(LOOPS, 2 * SOAK_MS);
    const disown = options.owns(() => loops.stop());
    try {
      await new Promise((resolve) => setTimeout(resolve, SOAK_MS));
    } finally {
      disown();
      await loops.stop();
    }
    samples.push({ row: 'false failovers', ms: (await count()) - before });
  }
  return samples;
}

function elections(node: Talker): number {
  return node.lines.filter((line) => line.startsWith('{"state":')).length;
}

export async function soakAddresses(options: RunOptions): Promise<Sample[]> {
  const lab = await BridgeLab.make();
  const disown = options.owns(() => lab.close());
  try {
    const line = await lab.watch('10.78.0.100');
    const start = (index: 0 | 1): Talker =>
      lab.carpNode(SIDES[index], {
        vhid: FIRST_ID,
        instances: ADDRESSES,
        password: '',
        addresses: ['10.78.0.100/24'],
        election: { protocol: 'vrrp3', priority: PRIORITIES[index], intervalMs: ADVERT_MS, downAdverts: 3 },
        preempt: true,
      });
    const led = (): boolean => {
      const heard = line.spoken('a', machineNow() - 5 * ADVERT_MS);
      return new Set(heard.map(({ id }) => id)).size === ADDRESSES;
    };
    const master = start(0);
    await line.until('led', () => led() && elections(master) === 2 * ADDRESSES, START_MS);
    const backup = start(1);
    await line.until('two', () => elections(backup) === ADDRESSES, START_MS);
    return await soak(options, () => Promise.resolve(elections(master) + elections(backup)));
  } finally {
    disown();
    await lab.close();
  }
}

export async function soakPair(options: RunOptions): Promise<Sample[]> {
  const pair = await startAddressPair({ groups: ADDRESSES, advertMs: ADVERT_MS });
  const disown = options.owns(() => pair.close());
  try {
    const count = async (): Promise<number> => {
      const events = (await Promise.all([pair.hasta, pair.hastb].map(journalOf))).flat();
      return events.filter(
        ({ kind, message }) =>
          kind === 'address.carp' ||
          (kind === 'group.state' && /promoting\.recording|demoting/.test(message)),
      ).length;
    };
    return await soak(options, count);
  } finally {
    disown();
    await pair.close();
  }
}
