/**
 * A pair of whole nodes with a replicated disk and a shared address: real `hastated` processes. The address goes up
 * on the group's word only, so every figure contains the promotion of the disk.
 */
import { BridgeLab, CLIENT, type Side } from '../../test/support/bridge-lab.ts';
import { type LabDaemon, type LabNode, NODES } from '../../test/support/daemon.ts';
import { untilPaired } from '../../test/support/failover.ts';
import { Lab } from '../../test/support/lab.ts';
import { machineNow, type Timeline } from '../../test/support/timeline.ts';
import type { Sample } from './rounds.ts';

const ADDRESS = '10.78.0.100';
const SIDE: Readonly<Record<LabNode, Side>> = { hasta: 'a', hastb: 'b' };
const OTHER: Readonly<Record<LabNode, LabNode>> = { hasta: 'hastb', hastb: 'hasta' };
const WAIT_MS = 30_000;

const FAULTS = ['crash', 'stop', 'switchover', 'link down', 'host loss', 'freeze'] as const;
type Fault = (typeof FAULTS)[number];

export interface PairTimes {
  readonly advertMs: number;
  /** The `timing` of hastate.yaml; null is the default. */
  readonly timing: string | null;
}

export class Pair {
  readonly #bridge: BridgeLab;
  readonly #lab: Lab;
  readonly #line: Timeline;
  readonly #daemons: Readonly<Record<LabNode, LabDaemon>>;
  #primary: LabNode = 'hasta';

  private constructor(
    bridge: BridgeLab,
    lab: Lab,
    line: Timeline,
    daemons: Readonly<Record<LabNode, LabDaemon>>,
  ) {
    this.#bridge = bridge;
    this.#lab = lab;
    this.#line = line;
    this.#daemons = daemons;
  }

  static async start({ advertMs, timing }: PairTimes): Promise<Pair> {
    const bridge = await BridgeLab.make();
    let lab: Lab | null = null;
    try {
      lab = await Lab.make({
        net: bridge.net,
        yaml: [`references: [${CLIENT}]`, ...(timing === null ? [] : [`timing: ${timing}`])],
        groups: [{ name: 'storage', resources: ['disk1'], more: addressLines(advertMs) }],
      });
      const line = await bridge.watch(ADDRESS);
      return new Pair(bridge, lab, line, await lab.startPair());
    } catch (error) {
      await lab?.close();
      await bridge.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#lab.close();
    await this.#bridge.close();
  }

  /** Everything that can go wrong with the node that is primary, each once. */
  async round(random: () => number, advertMs: number): Promise<Sample[]> {
    const samples: Sample[] = [];
    for (const fault of FAULTS) {
      await this.#settled();
      await new Promise((resolve) => setTimeout(resolve, random() * advertMs));
      samples.push(...(await this.#suffer(fault)));
    }
    return samples;
  }

  async #settled(): Promise<void> {
    const [primary, standby] = [this.#daemons[this.#primary], this.#daemons[OTHER[this.#primary]]];
    await untilPaired({ primary, standby }, WAIT_MS);
    const side = SIDE[this.#primary];
    const alone = (): boolean => this.#line.answering === side && !this.#line.holds(SIDE[standby.node]);
    await this.#line.until('settled', alone, WAIT_MS);
  }

  async #suffer(fault: Fault): Promise<Sample[]> {
    const { [this.#primary]: lost } = this.#daemons;
    const [from, to] = [SIDE[lost.node], SIDE[OTHER[lost.node]]];
    const at = machineNow();
    const done = this.#break(fault, lost, from);
    await this.#line.until(`answered by ${to}`, () => this.#line.firstAnswer(to, at) !== null, WAIT_MS);
    const ms = (this.#line.firstAnswer(to, at)?.at ?? Infinity) - at;
    const samples: Sample[] = [{ row: `takes over on ${fault}`, ms, pauseMs: this.#line.longestPause(at) }];
    await done;
    this.#primary = OTHER[this.#primary];
    const mendedAt = machineNow();
    await this.#mend(fault, lost, from);
    if (fault === 'host loss' || fault === 'freeze') {
      await this.#settled();
      samples.push({ row: `two masters after a ${fault}`, ms: this.#line.bothHeld(mendedAt) });
    }
    return samples;
  }

  async #break(fault: Fault, lost: LabDaemon, side: Side): Promise<void> {
    if (fault === 'crash') await lost.kill();
    else if (fault === 'stop') await lost.stop();
    else if (fault === 'switchover')
      await lost.request('switchover', { group: 'storage', to: OTHER[lost.node] }, WAIT_MS);
    else if (fault === 'link down') await this.#bridge.linkDown(side);
    else if (fault === 'host loss') await this.#bridge.cut(side, 'lan0', 'data0');
    else lost.signal('SIGSTOP');
  }

  async #mend(fault: Fault, lost: LabDaemon, side: Side): Promise<void> {
    if (fault === 'crash' || fault === 'stop') lost.start();
    else if (fault === 'link down') await this.#bridge.linkUp(side);
    else if (fault === 'host loss') await this.#bridge.heal(side, 'lan0', 'data0');
    else if (fault === 'freeze') lost.signal('SIGCONT');
  }

  /** Ends by killing: a frozen one would not hear anything else. */
  async logs(): Promise<string> {
    return (await Promise.all(NODES.map((node) => this.#daemons[node].log()))).join('\n-----\n');
  }
}

export function addressLines(advertMs: number, vrid = 7): string[] {
  return [
    'address:',
    '  protocol: vrrp3',
    '  interface: lan0',
    `  vrid: ${vrid}`,
    `  interval: ${advertMs}ms`,
    `  addresses: [10.78.0.${93 + vrid}/24]`,
  ];
}
