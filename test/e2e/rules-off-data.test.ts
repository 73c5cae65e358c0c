/** What is lost when a rule about data is taken out of the daemons, and not with it. Each pair is the same story. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { decodeStamp, encodeStamp, STAMP_BYTES } from '../../src/cli/demo/stamp.ts';
import { connectNbd, type NbdInitiator } from '../../src/device/nbd-initiator.ts';
import { type LabDaemon, type LabNode, NODES } from '../support/daemon.ts';
import { codesOf, untilGone, untilPaired } from '../support/failover.ts';
import { Lab, makeDisk } from '../support/lab.ts';
import { LoopDisk } from '../support/loop-disk.ts';
import { needs } from '../support/needs.ts';
import { Namespaces, REFERENCE } from '../support/netns.ts';
import { withoutRule } from '../support/rules-off.ts';
import { type Lost, StampedClients } from '../support/stamped-clients.ts';
import { TcpRelay } from '../support/tcp-relay.ts';

type Pair = Readonly<Record<LabNode, LabDaemon>>;
type LostOn = (daemon: LabDaemon) => Promise<Lost[]>;

const DISK_MIB = 8;
/** Small extents of which few stay marked for being used: what is marked is what may differ. */
const CREATE = ['-e', '65536', '-k', '4'];
/** Each client at least once around its blocks. */
const AROUND = 500;
/** So many answers more than there can be requests under way. */
const MORE_THAN_WAS_UNDER_WAY = 100;

let lab: Lab | null = null;
let clients: StampedClients | null = null;
let disk: LoopDisk | null = null;

afterEach(async () => {
  await clients?.stop();
  await lab?.close();
  await disk?.close();
  lab = clients = disk = null;
});

describe('a primary whose data link ends, and which dies right after it went on (A3)', () => {
  /** @returns when hasta is dead */
  async function goOnAndDie(rule: string | null): Promise<Pair> {
    // The standby may take over for so long after the link ended (B3).
    const own = (lab = await Lab.make({ yaml: ['timing: { hold: 2s }'] }));
    const { hasta, hastb } = own.places;
    const relay = await TcpRelay.start(hastb.host, {
      ...{ host: hastb.host, port: hastb.dataPort, from: hasta.host },
    });
    try {
      const remote = `remote tcp4://${hastb.host}:`;
      await own.edit(own.hastConf, (text) =>
        text.replace(`${remote}${hastb.dataPort}`, `${remote}${relay.port}`),
      );
      const pair = await withoutRule(rule, () => own.startPair());
      clients = new StampedClients([pair.hasta]).start();
      await clients.more('hasta');
      relay.close();
      await clients.more('hasta', MORE_THAN_WAS_UNDER_WAY);
      await pair.hasta.kill();
      return pair;
    } finally {
      relay.close();
    }
  }

  it('has made sure that nobody serves without what it acknowledged', async () => {
    const { hasta, hastb } = await goOnAndDie(null);
    await untilGone(hastb, 'hasta');
    expect(await codesOf(hastb)).toContain('member-outdated');
    await clients?.stop();
    hasta.start();
    await hasta.untilPrimary('storage');
    expect(await clients?.lostOn(hasta)).toEqual([]);
  });

  it('would leave a standby that serves without the rule, and lacks what was acknowledged', async () => {
    const { hastb } = await goOnAndDie('A3');
    await hastb.untilPrimary('storage');
    await clients?.stop();
    expect((await clients?.lostOn(hastb))?.length).toBeGreaterThan(0);
  });
});

describe.skipIf(needs('root', 'netns', 'nft'))(
  'a primary that stood still and is cut off when it goes on, after the other node took over (A4)',
  () => {
    let namespaces: Namespaces;

    afterEach(() => namespaces.close());

    /** @returns hasta's answer to a read of what hastb has overwritten meanwhile, or that it never came */
    async function readFromTheOldOne(rule: string | null): Promise<number | null | 'never'> {
      namespaces = await Namespaces.make();
      const own = (lab = await Lab.make({ net: namespaces.net, yaml: [`references: [${REFERENCE}]`] }));
      const { hasta, hastb } = await withoutRule(rule, () => own.startPair());
      const old = await connectTo(own, 'hasta');
      await old.write(0, encodeStamp(0, 1));

      hasta.signal('SIGSTOP');
      // No word of the new epoch is to stop it (A5).
      await namespaces.cut('hasta', 'data0', 'peer0', 'ref0');
      await hastb.untilPrimary('storage');
      const fresh = await connectTo(own, 'hastb');
      await fresh.write(0, encodeStamp(0, 2));
      await fresh.disconnect();
      const answer = old.read(0, STAMP_BYTES);
      hasta.signal('SIGCONT');
      return answer.then(
        (block) => decodeStamp(block, 0),
        () => 'never',
      );
    }

    it('answers nothing any more', async () => {
      expect(await readFromTheOldOne(null)).toBe('never');
    });

    it('would answer without the rule, with what is over', async () => {
      expect(await readFromTheOldOne('A4')).toBe(1);
    });
  },
);

describe.skipIf(needs('root', 'losetup'))('a power cut', () => {
  /** A pair of which one node's disk can lose its power, and hasta has acknowledged blocks, none flushed. */
  async function written(
    rule: string | null,
    weak: LabNode,
  ): Promise<Pair & { lost: LostOn; disk: LoopDisk }> {
    const own = (lab = await Lab.make({ create: false }));
    const weakDisk = (disk = await LoopDisk.make(own.places[weak].disk('disk1'), DISK_MIB));
    await makeDisk(own.places[weak === 'hasta' ? 'hastb' : 'hasta'].disk('disk1'), DISK_MIB);
    const made = await Promise.all(NODES.map((node) => own.hastate(node, 'create', ...CREATE, 'disk1')));
    expect(made).toMatchObject([{ code: 0 }, { code: 0 }]);
    const pair = await withoutRule(rule, () => own.startPair());
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    const wrote = (clients = new StampedClients([pair.hasta], 'disk1', { scatter: true }).start());
    await wrote.more('hasta', AROUND);
    await wrote.stop();
    return { ...pair, disk: weakDisk, lost: (daemon) => wrote.lostOn(daemon) };
  }
  /** It takes over from the other one, and is asked for all that was acknowledged. */
  async function lostBy(daemon: LabDaemon, other: LabDaemon, lost: LostOn): Promise<Lost[]> {
    await other.kill();
    await daemon.untilPrimary('storage');
    return lost(daemon);
  }

  describe('of the primary, which comes back and is in sync again (A1)', () => {
    async function lostByTheReturned(rule: string | null): Promise<Lost[]> {
      const { hasta, hastb, disk, lost } = await written(rule, 'hasta');
      await disk.cutPower(hasta);
      await hastb.untilPrimary('storage');
      await disk.switchOn();
      withoutRule(rule, () => hasta.start());
      await untilPaired({ primary: hastb, standby: hasta });
      return lostBy(hasta, hastb, lost);
    }

    it('loses nothing, for it knows what it was writing', async () => {
      expect(await lostByTheReturned(null)).toEqual([]);
    });

    it('would lose what was acknowledged without the rule', async () => {
      expect((await lostByTheReturned('A1')).length).toBeGreaterThan(0);
    });
  });

  describe('of the standby, which comes back and is in sync again (A6)', () => {
    async function lostByTheReturned(rule: string | null): Promise<Lost[]> {
      const { hasta, hastb, disk, lost } = await written(rule, 'hastb');
      await disk.cutPower(hastb);
      await disk.switchOn();
      withoutRule(rule, () => hastb.start());
      await untilPaired({ primary: hasta, standby: hastb });
      return lostBy(hastb, hasta, lost);
    }

    it('loses nothing, for both know what it had not flushed', async () => {
      expect(await lostByTheReturned(null)).toEqual([]);
    });

    it('would lose what was acknowledged without the rule', async () => {
      expect((await lostByTheReturned('A6')).length).toBeGreaterThan(0);
    });
  });

  describe('of a node that has just taken over from one that died (B7)', () => {
    async function lostByTheSurvivor(rule: string | null): Promise<Lost[]> {
      const { hasta, hastb, disk, lost } = await written(rule, 'hastb');
      await hasta.kill();
      await hastb.untilPrimary('storage');
      await disk.cutPower(hastb);
      await disk.switchOn();
      hastb.start();
      await hastb.untilPrimary('storage');
      return lost(hastb);
    }

    it('loses nothing of what the other one acknowledged', async () => {
      expect(await lostByTheSurvivor(null)).toEqual([]);
    });

    it('would lose it without the rule', async () => {
      expect((await lostByTheSurvivor('B7')).length).toBeGreaterThan(0);
    });
  });
});

function connectTo(lab: Lab, node: LabNode): Promise<NbdInitiator> {
  const socketPath = join(lab.places[node].stateDir, 'nbd', 'disk1.sock');
  return connectNbd({ socketPath, exportName: 'disk1' });
}
