import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { PeerNodeOptions } from '../fixtures/peer-node.ts';
import { needs } from '../support/needs.ts';
import { bundleFixture, SegmentLab } from '../support/segment-lab.ts';
import type { Side, Speaker } from '../support/segment-lab.ts';

const PORT = 8459;

describe.skipIf(needs('root', 'netns', 'ip', 'nft'))('between real hosts the peer', () => {
  let lab: SegmentLab;
  let a: Speaker<never>;
  let b: Speaker<never>;
  beforeAll(async () => {
    lab = await SegmentLab.make();
    await bundleFixture('peer-node', lab.directory);
  });
  beforeEach(async () => {
    [a, b] = [start('a'), start('b')];
    await Promise.all([a.says('alive'), b.says('alive'), a.says('both')]);
  });
  afterEach(async () => {
    await lab.endProcesses();
    await lab.in('b', 'nft', 'flush', 'ruleset');
  });
  afterAll(() => lab.close());

  function start(side: Side): Speaker<never> {
    const [self, peer] = side === 'a' ? [1, 2] : [2, 1];
    const options: PeerNodeOptions = {
      ...{ self: `hast${self}`, peer: `hast${peer}`, boot: `${self}`.repeat(16), port: PORT },
      ...{ host: `10.77.0.${self}`, peerHost: `10.77.0.${peer}` },
    };
    return lab.start(side, process.execPath, `${lab.directory}/peer-node.mjs`, JSON.stringify(options));
  }
  const firewall = async (rule: string): Promise<void> => {
    await lab.in('b', 'nft', 'add', 'table', 'inet', 'cut');
    await lab.in('b', 'nft', 'add chain inet cut in { type filter hook input priority 0; }');
    await lab.in('b', 'nft', `add rule inet cut in ${rule}`);
  };
  /** That many more than now. */
  const more = async (key: string, times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1) await a.says(key, 10_000, a.lines.length);
  };
  const deaths = (): number => a.lines.filter((line) => line.startsWith('{"death"')).length;

  it('is certainly dead when its process was killed', async () => {
    await b.kill('SIGKILL');
    await a.says('death', 2000);
  });

  it('is not dead when a firewall resets its connections and lets new ones begin', async () => {
    await firewall(`tcp dport ${PORT} ct state established ct bytes > 20000 reject with tcp reset`);
    await firewall(`tcp sport ${PORT} ct state established ct bytes > 20000 reject with tcp reset`);
    await more('down', 2);
    expect(a.lines.filter((line) => /"down":.*(ECONNRESET|reset)/.test(line)).length).toBeGreaterThan(0);
    await lab.in('b', 'nft', 'flush', 'ruleset');
    await more('alive', 3);
    expect(deaths()).toBe(0);
  });

  it('is not dead when everything that it is sent is dropped', async () => {
    await firewall('drop');
    await more('down', 1);
    // Longer than two attempts to connect: none of them is refused.
    await expect(a.says('death', 2500)).rejects.toThrow(/no such line/);
  });

  it('is not dead when its host vanishes from the network', async () => {
    await lab.ip('b', 'link', 'set', 'lan0', 'down');
    await more('down', 1);
    await expect(a.says('death', 2500)).rejects.toThrow(/no such line/);
    await lab.linkUp('b');
  });
});
