/** What is lost without a rule of the groups, and not with it: the same story twice, on real daemons. */
import { afterEach, describe, expect, it } from 'vitest';

import { epochExportName } from '../../src/device/nbd-handshake.ts';
import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { type LabDaemon, resourceOf } from '../support/daemon.ts';
import { codesOf, untilGone, untilHandsOver, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { RelayedPair } from '../support/relayed-pair.ts';
import { withoutRule } from '../support/rules-off.ts';
import { StampedClients } from '../support/stamped-clients.ts';

const BLOCK_BYTES = 4096;

let lab: Lab;
let pair: RelayedPair | null = null;
let clients: StampedClients | null = null;

afterEach(async () => {
  await clients?.stop();
  await lab.close();
  pair?.close();
  pair = clients = null;
});

/** A pair whose clients write, without this rule. */
async function writingPair(without: string | null): Promise<{ lines: RelayedPair; writers: StampedClients }> {
  lab = await Lab.make();
  const lines = (pair = await RelayedPair.make(lab));
  await withoutRule(without, () => lines.start());
  const both = [lines.hasta, lines.hastb];
  const writers = (clients = new StampedClients(both, 'disk1', { restMs: 1 }).start());
  await writers.more('hasta');
  return { lines, writers };
}

const isAlone = (daemon: LabDaemon): Promise<unknown> =>
  daemon.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);

describe('a standby whose data link died while it heard its primary on another way, which went on and died (B3)', () => {
  const outlive = async (without: string | null): Promise<Awaited<ReturnType<typeof writingPair>>> => {
    const { lines, writers } = await writingPair(without);
    for (const node of ['hasta', 'hastb'] as const) lines.deafen(node, 'data');
    await isAlone(lines.hasta);
    await writers.more('hasta', 200);
    await lines.hasta.kill();
    return { lines, writers };
  };

  it('serves nothing, for it has recorded that it is out', async () => {
    const { lines, writers } = await outlive(null);
    const { hasta, hastb } = lines;
    await untilGone(hastb, 'hasta');
    expect(await codesOf(hastb)).toContain('member-outdated');
    hasta.start();
    await hasta.untilPrimary('storage');
    await writers.stop();
    expect(writers.served()).toEqual(['hasta']);
    expect(await writers.lostOn(hasta)).toEqual([]);
  });

  it('would serve without the rule, and lack what was acknowledged', async () => {
    const { lines, writers } = await outlive('B3');
    await lines.hastb.untilPrimary('storage');
    await writers.stop();
    expect((await writers.lostOn(lines.hastb)).length).toBeGreaterThan(0);
  });
});

describe('a node that released its group and lost touch before it heard who took it, who wrote on and died (D4)', () => {
  const interrupt = async (without: string | null): Promise<Awaited<ReturnType<typeof writingPair>>> => {
    const { lines, writers } = await writingPair(without);
    const { hasta, hastb } = lines;
    lines.isolateCallsOf('hastb', 'data');
    lines.deafen('hasta', 'peer');
    hasta.request('switchover', { group: 'storage', to: 'hastb' }, 20_000).catch(() => undefined);
    await hastb.untilPrimary('storage');
    lines.deafen('hastb', 'peer', 'data');
    lines.deafen('hasta', 'data');
    await isAlone(hastb);
    await writers.more('hastb');
    await hastb.kill();
    return { lines, writers };
  };

  it('serves nothing, for the other one may have more', async () => {
    const { lines, writers } = await interrupt(null);
    const { hasta, hastb } = lines;
    await untilGone(hasta, 'hastb');
    expect(await codesOf(hasta)).toContain('released');
    lines.heal();
    hastb.start();
    await untilPaired({ primary: hastb, standby: hasta });
    await writers.stop();
    expect(writers.served()).toEqual(['hasta', 'hastb']);
    expect(await writers.lostOn(hastb)).toEqual([]);
  });

  it('would serve without the rule, and lack what the other one acknowledged', async () => {
    const { lines, writers } = await interrupt('D4');
    await lines.hasta.untilPrimary('storage');
    await writers.stop();
    expect((await writers.lostOn(lines.hasta, 'hastb')).length).toBeGreaterThan(0);
  });
});

describe('a client of an earlier epoch that connects again and sends what it had not been able to send (D3)', () => {
  const OLD = Buffer.alloc(BLOCK_BYTES, 'what it wanted to write, ');
  const NEW = Buffer.alloc(BLOCK_BYTES, 'what was acknowledged since, ');

  interface ComeBack {
    readonly hasta: LabDaemon;
    /** Connects under the name by which it was attached first. */
    readonly sendAgain: () => Promise<void>;
  }

  const comeBack = async (without: string | null): Promise<ComeBack> => {
    lab = await Lab.make();
    const { hasta, hastb } = await withoutRule(without, () => lab.startPair());
    await untilHandsOver({ primary: hasta, standby: hastb });
    const { record } = resourceOf(await hasta.status(), 'disk1');
    if (record === null) throw new Error('a primary without a record');
    const attachedAs = epochExportName('disk1', record.epoch);
    const early = await connectTo(hasta, attachedAs);
    await hasta.request('switchover', { group: 'storage', to: 'hastb' }, 20_000);
    await early.closed;
    await expect(early.write(0, OLD)).rejects.toThrow();

    const later = await connectTo(hastb);
    await later.write(0, NEW);
    await later.disconnect();
    await untilHandsOver({ primary: hastb, standby: hasta });
    await hastb.request('switchover', { group: 'storage', to: 'hasta' }, 20_000);
    const sendAgain = async (): Promise<void> => {
      const again = await connectTo(hasta, attachedAs);
      await again.write(0, OLD);
      await again.disconnect();
    };
    return { hasta, sendAgain };
  };

  const connectTo = async (daemon: LabDaemon, exportName = 'disk1'): ReturnType<typeof connectNbd> => {
    const { export: offered } = resourceOf(await daemon.status(), 'disk1');
    return connectNbd({ socketPath: offered?.socket ?? '', exportName });
  };

  const content = async (daemon: LabDaemon): Promise<string> => {
    const nbd = await connectTo(daemon);
    const block = await nbd.read(0, BLOCK_BYTES);
    await nbd.disconnect();
    return block.toString();
  };

  it('is refused, and what was written since stays', async () => {
    const { hasta, sendAgain } = await comeBack(null);
    await expect(sendAgain()).rejects.toMatchObject({ code: 'nbd-refused' });
    expect(await content(hasta)).toBe(NEW.toString());
  });

  it('would be served without the rule, and its old block replace what was acknowledged', async () => {
    const { hasta, sendAgain } = await comeBack('D3');
    await sendAgain();
    expect(await content(hasta)).toBe(OLD.toString());
  });
});
