/**
 * A pair of whole nodes with a replicated disk and a shared address: real `hastated` processes. The address goes up
 * on the group's word only, so every figure contains the promotion of the disk.
 */
import { type AddressPair, settled, SIDE_OF } from '../../test/support/address-pair.ts';
import type { Side } from '../../test/support/bridge-lab.ts';
import type { LabDaemon, LabNode } from '../../test/support/daemon.ts';
import { machineNow, type Timeline } from '../../test/support/timeline.ts';
import type { Sample } from './rounds.ts';

const OTHER: Readonly<Record<LabNode, LabNode>> = { hasta: 'hastb', hastb: 'hasta' };
const WAIT_MS = 30_000;

const FAULTS = ['crash', 'stop', 'switchover', 'link down', 'host loss', 'freeze'] as const;
type Fault = (typeof FAULTS)[number];

export class Pair {
  readonly #pair: AddressPair;
  readonly #line: Timeline;
  readonly #daemons: Readonly<Record<LabNode, LabDaemon>>;
  #primary: LabNode = 'hasta';

  constructor(pair: AddressPair) {
    this.#pair = pair;
    this.#line = pair.line;
    this.#daemons = { hasta: pair.hasta, hastb: pair.hastb };
  }

  /** Everything that can go wrong with the node that is primary, each once. */
  async round(random: () => number, advertMs: number): Promise<Sample[]> {
    const samples: Sample[] = [];
    for (const fault of FAULTS) {
      await settled(this.#pair, this.#primary);
      await new Promise((resolve) => setTimeout(resolve, random() * advertMs));
      samples.push(...(await this.#suffer(fault)));
    }
    return samples;
  }

  async #suffer(fault: Fault): Promise<Sample[]> {
    const { [this.#primary]: lost } = this.#daemons;
    const [from, to] = [SIDE_OF[lost.node], SIDE_OF[OTHER[lost.node]]];
    const at = machineNow();
    const done = this.#break(fault, lost, from);
    // A switchover that is refused on the way is told by the address staying where it is.
    done.catch(() => undefined);
    await this.#line.until(`answered by ${to}`, () => this.#line.firstAnswer(to, at) !== null, WAIT_MS);
    const ms = (this.#line.firstAnswer(to, at)?.at ?? Infinity) - at;
    const samples: Sample[] = [{ row: `takes over on ${fault}`, ms, pauseMs: this.#line.longestPause(at) }];
    await done;
    this.#primary = OTHER[this.#primary];
    const mendedAt = machineNow();
    await this.#mend(fault, lost, from);
    if (fault === 'host loss' || fault === 'freeze') {
      await settled(this.#pair, this.#primary);
      samples.push({ row: `two masters after a ${fault}`, ms: this.#line.bothHeld(mendedAt) });
    }
    return samples;
  }

  async #break(fault: Fault, lost: LabDaemon, side: Side): Promise<void> {
    if (fault === 'crash') await lost.kill();
    else if (fault === 'stop') await lost.stop();
    else if (fault === 'switchover')
      await lost.request('switchover', { group: 'storage', to: OTHER[lost.node] }, WAIT_MS);
    else if (fault === 'link down') await this.#pair.bridge.linkDown(side);
    else if (fault === 'host loss') await this.#pair.bridge.cut(side, 'lan0', 'data0');
    else lost.signal('SIGSTOP');
  }

  async #mend(fault: Fault, lost: LabDaemon, side: Side): Promise<void> {
    if (fault === 'crash' || fault === 'stop') lost.start();
    else if (fault === 'link down') await this.#pair.bridge.linkUp(side);
    else if (fault === 'host loss') await this.#pair.bridge.heal(side, 'lan0', 'data0');
    else if (fault === 'freeze') lost.signal('SIGCONT');
  }
}
