/** A pair of whole nodes that share addresses for real: VRRP 3 on `lan0`, put there by `ip`, asked by a client. */
import type { NodeStatus } from '../../src/protocol/control.ts';
import { BridgeLab, CLIENT } from './bridge-lab.ts';
import type { Side } from './bridge-lab.ts';
import type { LabDaemon, LabNode } from './daemon.ts';
import { untilPaired } from './failover.ts';
import { Lab, type LabGroup } from './lab.ts';
import type { Timeline } from './timeline.ts';

export const SHARED_ADDRESS = '10.78.0.100';
export const SIDE_OF: Readonly<Record<LabNode, Side>> = { hasta: 'a', hastb: 'b' };
const FIRST_ID = 7;
const WAIT_MS = 30_000;
const CALM_MS = 1000;

export interface AddressPairOptions {
  /** Default 100. */
  readonly advertMs?: number;
  /** So many groups of one disk and one address each, default 1: `storage`, or `storage1` and so on. */
  readonly groups?: number;
  /** Elected by keepalived, which this starts, before the nodes start. */
  readonly keepalived?: (bridge: BridgeLab, lab: Lab) => Promise<void>;
  /** More lines of an address. */
  readonly address?: (group: string) => readonly string[];
  /** The `timing` of hastate.yaml. */
  readonly timing?: string;
}

export interface AddressPair {
  readonly bridge: BridgeLab;
  readonly lab: Lab;
  readonly line: Timeline;
  readonly hasta: LabDaemon;
  readonly hastb: LabDaemon;
  close(): Promise<void>;
}

/** Who serves, with the other one in sync and the address here alone; then for a second nothing of it changed. */
export async function settled(
  pair: AddressPair,
  by: LabNode,
): Promise<Record<'primary' | 'standby', LabDaemon>> {
  const { line, [by]: primary } = pair;
  const standby = by === 'hasta' ? pair.hastb : pair.hasta;
  const [side, other] = [SIDE_OF[by], SIDE_OF[standby.node]];
  const calm = ({ charts }: NodeStatus): boolean =>
    charts.filter(({ machine }) => machine !== 'link').every(({ sinceMs }) => sinceMs > CALM_MS);
  await untilPaired({ primary, standby }, WAIT_MS);
  await line.until(`at ${by} alone`, () => line.answering === side && !line.holds(other), WAIT_MS);
  await Promise.all([primary.until('calm', calm, WAIT_MS), standby.until('calm', calm, WAIT_MS)]);
  return { primary, standby };
}

/** hasta serves everything, and hastb is in sync. */
export async function startAddressPair(options: AddressPairOptions = {}): Promise<AddressPair> {
  const bridge = await BridgeLab.make();
  let lab: Lab | null = null;
  const close = async (): Promise<void> => {
    await lab?.close();
    await bridge.close();
  };
  try {
    const groups = groupsOf(options);
    lab = await Lab.make({
      ...{ net: bridge.net, groups, resources: groups.flatMap(({ resources }) => resources), diskMiB: 1 },
      yaml: [
        `references: [${CLIENT}]`,
        ...(options.timing === undefined ? [] : [`timing: ${options.timing}`]),
      ],
    });
    const line = await bridge.watch(SHARED_ADDRESS);
    await options.keepalived?.(bridge, lab);
    return {
      bridge,
      lab,
      line,
      ...(await lab.startPair()),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function groupsOf({
  groups = 1,
  advertMs = 100,
  keepalived,
  address = () => [],
}: AddressPairOptions): LabGroup[] {
  const names =
    groups === 1 ? ['storage'] : Array.from({ length: groups }, (_, index) => `storage${index + 1}`);
  return names.map((name, index) => ({
    name,
    resources: [`disk${index + 1}`],
    more: [
      'address:',
      ...(keepalived !== undefined
        ? ['  protocol: keepalived']
        : ['  protocol: vrrp3', `  vrid: ${FIRST_ID + index}`, `  interval: ${advertMs}ms`]),
      '  interface: lan0',
      `  addresses: [10.78.0.${100 + index}/24]`,
      ...address(name).map((text) => `  ${text}`),
    ],
  }));
}
